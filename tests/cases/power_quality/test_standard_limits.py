"""What the standards' limits allow, figure by figure; see README.md."""

import pytest

from tests.benchmarks.power_quality import CONDITIONS, dips, harmonics, severities, voltage
from tests.benchmarks.report import Report
from tests.support.flicker_table import CHANGES


@pytest.mark.parametrize("measure", [voltage, dips, harmonics])
def test_every_figure_keeps_its_limit(measure):
    report = Report("limits")
    measure(report, quick=True)
    judged = [figure for figure in report.figures if figure["reach"]]
    assert len(judged) >= len(CONDITIONS) * 3
    assert [figure for figure in judged if not figure["met"]] == []


@pytest.mark.parametrize(("lamp", "bits"), [("230V", 12), ("120V", 16)])
def test_pst_is_one_at_every_row_of_the_table(lamp, bits):
    found = severities(lamp, 6400.0, bits, seconds=600.0)
    assert set(found) == set(CHANGES[lamp])
    for value in found.values():
        assert value == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("lamp", CHANGES)
def test_half_of_the_rates_tell_flicker_too(lamp):
    for value in severities(lamp, 3200.0, 12, seconds=120.0, only=(39, 110, 1620)).values():
        assert value == pytest.approx(1.0, abs=0.02)
