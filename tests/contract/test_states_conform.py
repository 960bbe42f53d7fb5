"""The estimators of three levels are algorithms like any other."""

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.network_operation import Level
from algorithms.api.network_reader import parse
from tests.support.metering import find_truth
from tests.support.state_chain import MINUTE, PLUGINS, START_NS, Chain, Meters, document_of
from tests.support.state_grid import three_level_document

BAD = [
    {"interval": 0.5, "profiles": {"H0": {"p": []}}},
    {"patience": 0, "nodes": "some"},
    {"interval": {"value": 60, "unit": "min"}},
]


@pytest.fixture(scope="module")
def minutes():
    """Four minutes of readings of a network, and what each level made of them."""
    document = document_of(three_level_document(stations=1, concentrators=2, customers=3))
    model = parse(document)
    chain, meters, truth = Chain(document), Meters(model), find_truth(model)
    records = {level: [] for level in Level}
    for minute in range(4):
        frames = meters.read(truth, START_NS + minute * MINUTE + MINUTE // 2, np.random.default_rng(minute))
        chain.tick(START_NS + minute * MINUTE + MINUTE // 2)
        states = chain.feed(frames.values())
        for frame in frames.values():
            records[chain.areas[chain.reader_of(frame.terminal)].level].append(frame)
        records[Level.LV] += [state for state in states.values() if state.level == "concentrator"]
        records[Level.MV] += [state for state in states.values() if state.level == "lv"]
    return chain, records


@pytest.mark.parametrize(("level", "area"), [("concentrator", "c-s1-1"), ("lv", "lv-1"), ("mv", "mv")])
def test_estimators_conform(minutes, level, area):
    chain, records = minutes
    check_algorithm(
        PLUGINS[Level(level)],
        settings={"hold": 600, "profiles": {"H0": {"p": [0.5, 1.5], "uncertainty": 0.5}}},
        context=Context(device=f"agent-{area}", network=chain.models[area]),
        records=records[Level(level)],
        bad_settings=BAD,
    ).raise_if_failed()
