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
from algorithms.api.records import Command, Event, Severity
from tests.support.networks import element, feeder_document
from tests.support.records_for_tests import CHANNELS, frames_with_dip, steady_blocks

GROUP = "tresma.algorithms"
EPOCH_NS = 1_800_000_000 * 10**9


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
SETTINGS = {
    "switch": {"switch": "cb", "network": "net-1"},
    "concentrator_state": {"area": "area-lv"},
    "lv_state": {"area": "area-lv"},
}
"""What an algorithm cannot do without, where its defaults do not suit the network here."""


def orders():
    """Give a fault and two orders to a switch, for those that consume nothing else."""
    arguments = {"network": "net-1", "token": 1}
    fault = Event("fault", "t-head", EPOCH_NS, None, Severity.CRITICAL, ("A",), {})
    return [
        fault,
        *(
            Command(f"c-{number}", "cb", verb, EPOCH_NS, EPOCH_NS + 10**10, {**arguments, "sequence": number})
            for number, verb in enumerate(("open", "close"), start=1)
        ),
    ]


def network_for(name):
    """Give the small feeder; its low-voltage area belongs to a concentrator where one is to look after it."""
    document = feeder_document()
    if name == "concentrator_state":
        element(document, "area-lv").update(level="concentrator", head="l0")
    return parse(document)


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
        network=network_for(name),
    )
    records = [*blocks, *frames_with_dip(), *orders()]
    settings = SETTINGS.get(name, {})
    report = check_algorithm(algorithm_class, settings=settings, context=context, records=records)
    report.raise_if_failed()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_registered_algorithm_is_called_what_it_is_registered_as(name):
    assert ALGORITHMS[name].load().info.name == name
