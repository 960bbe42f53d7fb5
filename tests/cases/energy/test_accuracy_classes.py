"""The percentage errors that the standards' tables allow, point by point; see README.md."""

import math
import sys

import msgspec
import pytest

from algorithms.builtin.energy import EnergyState
from algorithms.builtin.energy_registers import COLUMNS
from tests.support.loads import CURRENT, Converter, Load, meter

SECONDS = 6.0

# class, share of rated current, cosine (or sine) and whether the current lags, limit [%]
ACTIVE = [
    (name, share, factor, lags, limit)
    for name, points in {
        "2": ((0.05, 1.0, 2.5), (0.1, 1.0, 2.0), (1.0, 1.0, 2.0), (0.1, 0.5, 2.5), (0.2, 0.5, 2.0), (1.0, 0.5, 2.0)),
        "1": ((0.05, 1.0, 1.5), (0.1, 1.0, 1.0), (1.0, 1.0, 1.0), (0.1, 0.5, 1.5), (0.2, 0.5, 1.0), (1.0, 0.5, 1.0)),
        "0.5 S": (
            (0.01, 1.0, 1.0), (0.05, 1.0, 0.5), (1.0, 1.0, 0.5), (1.2, 1.0, 0.5),
            (0.02, 0.5, 1.0), (0.1, 0.5, 0.6), (1.0, 0.5, 0.6), (1.2, 0.5, 0.6),
        ),
        "0.2 S": (
            (0.01, 1.0, 0.4), (0.05, 1.0, 0.2), (1.0, 1.0, 0.2), (1.2, 1.0, 0.2),
            (0.02, 0.5, 0.5), (0.1, 0.5, 0.3), (1.0, 0.5, 0.3), (1.2, 0.5, 0.3),
        ),
    }.items()
    for share, cosine, limit in points
    for factor, lags in (((cosine, True),) if cosine == 1.0 else ((0.5, True), (0.8, False)))
]  # fmt: skip
REACTIVE = [
    (name, share, sine, lags, limit)
    for name, points in {
        "3": ((0.05, 1.0, 4.0), (0.1, 1.0, 3.0), (1.0, 1.0, 3.0), (0.1, 0.5, 4.0), (0.2, 0.5, 3.0), (0.2, 0.25, 4.0)),
        "2": ((0.05, 1.0, 2.5), (0.1, 1.0, 2.0), (1.0, 1.0, 2.0), (0.1, 0.5, 2.5), (0.2, 0.5, 2.0), (0.2, 0.25, 2.5)),
        "1 S": (
            (0.01, 1.0, 1.5),
            (0.05, 1.0, 1.0),
            (1.0, 1.0, 1.0),
            (0.05, 0.5, 1.5),
            (0.1, 0.5, 1.0),
            (0.1, 0.25, 2.0),
        ),
    }.items()
    for share, sine, limit in points
    for lags in (True, False)
]


def register(column, load, converter):
    """Return the mean power that a register of the vector sum stands for [W or var]."""
    algorithm = meter(converter)
    for block in converter.blocks(converter.sample(load, SECONDS)):
        algorithm.process(block)
    state = msgspec.msgpack.decode(algorithm.checkpoint(), type=EnergyState)
    return state.registers.whole[3][COLUMNS.index(column)] * 1e-3 / state.seconds["measured"]


@pytest.mark.parametrize(("bits", "sample_rate"), [(12, 3200.0), (12, 6400.0), (16, 3200.0)])
@pytest.mark.parametrize("point", ACTIVE)
def test_active_energy(point, bits, sample_rate):
    """The error at a point of the tables for active energy is a third of the limit at most."""
    name, share, factor, lags, limit = point
    load = Load((share * CURRENT,) * 3, angle=math.acos(factor) * (1 if lags else -1))
    found = register("active_import", load, Converter(bits, sample_rate, offset=5.0))
    error = 100 * (found / load.p().sum() - 1)
    sys.stdout.write(f"class {name}: {100 * share:g} % of In, cos {factor}: {error:+.4f} %, limit {limit:g} %\n")
    assert abs(error) <= limit / 3


@pytest.mark.parametrize(("bits", "sample_rate"), [(12, 3200.0), (16, 6400.0)])
@pytest.mark.parametrize("point", REACTIVE)
def test_reactive_energy(point, bits, sample_rate):
    """The error at a point of the tables for reactive energy is a third of the limit at most."""
    name, share, sine, lags, limit = point
    load = Load((share * CURRENT,) * 3, angle=math.asin(sine) * (1 if lags else -1))
    found = register("reactive_q1" if lags else "reactive_q4", load, Converter(bits, sample_rate, offset=5.0))
    error = 100 * (found / abs(load.q().sum()) - 1)
    sys.stdout.write(f"class {name}: {100 * share:g} % of In, sin {sine}: {error:+.4f} %, limit {limit:g} %\n")
    assert abs(error) <= limit / 3


@pytest.mark.parametrize(("bits", "allowed"), [(12, 0.1), (16, 0.01)])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_what_the_project_promises(bits, allowed, share, factor):
    """From 5 to 100 % of rated current the error is at most 0.1 % with 12 bits and 0.01 % with 16."""
    load = Load((share * CURRENT,) * 3, angle=math.acos(factor))
    found = register("active_import", load, Converter(bits, offset=5.0))
    error = 100 * (found / load.p().sum() - 1)
    sys.stdout.write(f"{bits} bit: {100 * share:g} % of In, cos {factor}: {error:+.4f} %, limit {allowed:g} %\n")
    assert abs(error) <= allowed


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("share", [0.001, 0.002])
def test_starting(bits, share):
    """At a thousandth and more of rated current and unity power factor the meter starts (IEC 62053-22, 8.3)."""
    load = Load((1.1 * share * CURRENT,) * 3)
    converter = Converter(bits)
    algorithm = meter(converter, {"rated_current": CURRENT})
    for block in converter.blocks(converter.sample(load, SECONDS)):
        algorithm.process(block)
    state = msgspec.msgpack.decode(algorithm.checkpoint(), type=EnergyState)
    assert state.registers.whole[3][0] >= 0.5 * load.p().sum() * SECONDS * 1000


@pytest.mark.parametrize("bits", [12, 16])
def test_no_load(bits):
    """With 115 % of voltage and open current circuits no register moves (IEC 62053-21, 8.3.2)."""
    load = Load((0.0,) * 3, voltages=(1.15 * 230.0,) * 3)
    converter = Converter(bits, offset=5.0)
    algorithm = meter(converter, {"rated_current": CURRENT})
    for block in converter.blocks(converter.sample(load, 60.0)):
        algorithm.process(block)
    state = msgspec.msgpack.decode(algorithm.checkpoint(), type=EnergyState)
    assert state.registers.whole == ((0,) * 7,) * 4
    assert state.seconds["measured"] == pytest.approx(60.0)
