"""The power-quality meter is an algorithm like any other."""

import pytest

from algorithms.api.conformance import check_algorithm
from algorithms.builtin.quality.power_quality import PowerQuality
from tests.support.three_phase import Board, steady


@pytest.mark.parametrize("settings", [{}, {"shortest_interval": "10-cycle", "lamp": "120 V", "dip": 0.85}])
def test_power_quality_conforms(settings):
    board = Board(3200.0, noise=0.2, block=64)
    check_algorithm(
        PowerQuality,
        settings=settings,
        context=board.context(),
        records=board.blocks(steady(50.02, lag=0.3), 3.0),
        bad_settings=[{"dip": 1.2}, {"lamp": "LED"}, {"shortest_interval": "1 s"}, {"declared_voltage": 0}],
    ).raise_if_failed()
