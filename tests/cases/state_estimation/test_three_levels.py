"""
Concentrators, low voltage and medium voltage chained over some minutes of a day: right, and honest about it.

The grid is that of `tests/support/day_grid.py`: 108 concentrators, nine low-voltage grids, 13 nodes at 15 kV. Meters
have a standard uncertainty of 1 % (|V|, P) and 2 % (Q), drawn anew each minute.
"""

import pytest

from tests.benchmarks.se_day import UNMETERED, Run
from tests.support.day_chain import Day
from tests.support.metering import Accuracy


@pytest.fixture(scope="module")
def day():
    return Day(range(400, 1440, 260))


def test_every_level_covers_the_truth(day):
    run = Run(day, Accuracy())
    run.run()
    assert run.failed == 0
    for level, largest in (("c", 5.0), ("lv", 1.2), ("mv", 1.2)):
        tally = run.tallies[level]
        assert tally.largest < largest
        for quantity in tally.inside:
            assert tally.share(quantity) > (85.0 if level == "mv" else 92.0), f"{level} {quantity}"


def test_low_voltage_grids_without_meters_widen_what_is_said_above(day):
    """Their forecast is 20 % too high, and taken for sure to 50 %."""
    run = Run(day, Accuracy(), UNMETERED)
    run.run()
    assert run.failed == 0
    assert run.tallies["mv"].largest < 2.0
    for quantity in ("|V|", "P", "Q", "|I|"):
        assert run.tallies["mv"].share(quantity) > 85.0
