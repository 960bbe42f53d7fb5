"""What hardware/README.md tells an installer is what the code does."""

import math
import re
from pathlib import Path

import pytest
import yaml

from algorithms.api.samples import Phase, Quantity
from hardware.mcc_boards import MODELS, Pacer, Wiring, model_named
from hardware.mcc_options import OPTIONS, read_board_options
from hardware.mcc_scan import plan_scan
from hardware.source import ChannelRequest, SourceRequest

HANDBOOK = (Path(__file__).parents[2] / "hardware" / "README.md").read_text(encoding="utf-8")


def rows(beginning: str) -> list[list[str]]:
    """Return the cells of the table whose first line begins so."""
    table = HANDBOOK[HANDBOOK.index(beginning) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_table_of_boards_is_that_of_the_code() -> None:
    ways = {Pacer.CONVERSION: "one after the other", Pacer.SCAN: "simultaneously", Pacer.BURST: "in bursts"}
    found = {row[0]: row for row in rows("| board | bits |")}
    assert list(found) == [model.name for model in MODELS]
    for model in MODELS:
        _, bits, single, differential, ranges, rate, way = found[model.name]
        assert int(bits) == model.bits
        assert int(single) == model.inputs[Wiring.SINGLE_ENDED]
        assert differential == str(model.inputs.get(Wiring.DIFFERENTIAL, "-"))
        assert int(rate) == round(model.highest_rate(6))
        assert way.rstrip("°") == ways[model.pacer]
        spans = {span for wiring in model.ranges.values() for span in wiring}
        assert ("0..10" in ranges) == any(span.low == 0 and span.high == 10 for span in spans)
        assert f"+-{max(span.high for span in spans):g}" in ranges


def test_every_option_is_explained() -> None:
    assert [row[0].strip("`") for row in rows("| option | meaning |")] == [setting.name for setting in OPTIONS]


def test_the_example_is_granted_as_it_stands() -> None:
    text = re.search(r"```yaml\n(.*?)```", HANDBOOK, re.DOTALL)
    assert text is not None
    acquisition = yaml.safe_load(text[1])["acquisition"]
    channels = tuple(
        ChannelRequest(**{**one, "quantity": Quantity(one["quantity"]), "phase": Phase(one["phase"])})
        for one in acquisition["channels"]
    )
    request = SourceRequest(acquisition["sample_rate"], channels, acquisition["block_duration"])
    options = read_board_options(acquisition["driver"], acquisition["options"])
    scan = plan_scan("uldaq", model_named("USB-1608FS-Plus"), options, request)
    full_scales = [channel.full_scale for channel in scan.channels]
    assert full_scales == [500.0, 200.0] * 3
    assert min(full_scales[0] / math.sqrt(2) / 230, full_scales[1] / math.sqrt(2) / 100) > 1.4


@pytest.mark.parametrize(
    ("begins", "ratio", "bits", "span", "values"),
    [
        ("| voltage, 50 V/V, 12", 50, 12, 20, (230,)),
        ("| voltage, 50 V/V, 16", 50, 16, 20, (230,)),
        ("| current, 100 ohm", 20, 12, 20, (50, 5, 0.5)),
        ("| current, 10 ohm (200 A/V), 16", 200, 16, 2, (50, 5, 0.5)),
    ],
)
def test_the_uncertainty_of_rounding_is_worked_out_right(
    begins: str, ratio: float, bits: int, span: float, values: tuple[float, ...]
) -> None:
    line = next(line for line in HANDBOOK.splitlines() if line.startswith(begins))
    step = ratio * span / 2**bits
    _, told_step, told = (cell.strip() for cell in line.strip("|").split("|"))
    assert float(told_step.split()[0]) == pytest.approx(step, rel=0.03)
    expected = [100 * step / math.sqrt(12 * 1280) / value for value in values]
    assert [float(one) for one in told.removesuffix("%").split("/")] == pytest.approx(expected, rel=0.08)


def test_the_error_of_power_by_a_displacement_is_worked_out_right() -> None:
    for displacement, _, *errors in rows("| displacement | as time"):
        angle = math.radians(float(displacement.split()[0]))
        for factor, told in zip((1.0, 0.8, 0.5), errors, strict=True):
            error = 1 - math.cos(math.acos(factor) + angle) / factor
            assert float(told.split()[0]) == pytest.approx(100 * abs(error), abs=0.006, rel=0.05)
