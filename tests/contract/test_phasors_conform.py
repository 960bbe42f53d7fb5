"""The phasor estimator is an algorithm like any other."""

import pytest

from algorithms.api.conformance import check_algorithm
from algorithms.builtin.phasors import Phasors
from tests.support.three_phase import Board, steady


@pytest.mark.parametrize("settings", [{}, {"window": 10, "report_rate": {"value": 10, "unit": "Hz"}}])
def test_phasors_conform(settings):
    board = Board(3200.0, noise=0.2)
    check_algorithm(
        Phasors,
        settings=settings,
        context=board.context(),
        records=board.blocks(steady(50.02, lag=0.3), 2.0),
        bad_settings=[{"window": 5}, {"report_rate": 0}, {"frequency_range": 100}],
    ).raise_if_failed()
