"""
Every algorithm that enters by the group ``tresma.algorithms`` passes `check_algorithm`, built in or foreign.

Found are those of setup.cfg (an installation may be older than the tree) and those that are installed.
"""

import configparser
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from algorithms.api.algorithm import Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.network_reader import parse
from tests.support.networks import feeder_document
from tests.support.records_for_tests import CHANNELS, frames_with_dip, steady_blocks

GROUP = "tresma.algorithms"


def registered() -> dict[str, EntryPoint]:
    """Find all algorithms by name."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    metadata = configparser.ConfigParser()
    metadata.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    lines = metadata.get("options.entry_points", GROUP, fallback="").splitlines()
    for name, _, value in (line.partition("=") for line in lines if line.strip()):
        found[name.strip()] = EntryPoint(name.strip(), value.strip(), GROUP)
    return found


ALGORITHMS = registered()


def test_the_phasor_estimator_is_registered():
    assert "phasors" in ALGORITHMS


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_registered_algorithm_conforms(name):
    algorithm_class = ALGORITHMS[name].load()
    blocks = steady_blocks(duration=0.6)
    context = Context(
        device="m-1",
        terminal="t-head",
        channels=CHANNELS,
        sample_rate=blocks[0].sample_rate,
        synchronised=True,
        network=parse(feeder_document()),
    )
    records = [*blocks, *frames_with_dip()]
    report = check_algorithm(algorithm_class, settings={}, context=context, records=records)
    report.raise_if_failed()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_registered_algorithm_is_called_what_it_is_registered_as(name):
    assert ALGORITHMS[name].load().info.name == name
