"""Every test of IEC/IEEE 60255-118-1 against its limits, by class, nominal frequency and board; see README.md."""

from itertools import groupby

import pytest

from tests.support import synchrophasor_limits as tests
from tests.support.synchrophasor import bench, findings, unit_under_test
from tests.support.synchrophasor_limits import Service
from tests.support.synchrophasor_trials import Density, trials

SERVICES = [Service(name, f0, int(f0)) for name in "PM" for f0 in (50.0, 60.0)]
BOARDS = [(3200.0, 12), (6400.0, 12), (3200.0, 16), (6400.0, 16)]


def suite(service, sample_rate):
    """Return the trials of each test."""
    every = list(trials(service, sample_rate, Density.FEW))
    return {test: list(group) for test, group in groupby(every, key=lambda trial: trial.test)}


CASES = [
    pytest.param(service, test, id=f"{service.performance_class}-{service.nominal:.0f}-{test.replace(' ', '-')}")
    for service in SERVICES
    for test in suite(service, 3200.0)
]


@pytest.mark.parametrize(("sample_rate", "bits"), BOARDS)
@pytest.mark.parametrize(("service", "test"), CASES)
def test_a_class_keeps_the_limits_of_the_standard(service, test, sample_rate, bits):
    """With 16 bits, static limits are kept by a factor of ten."""
    unit = unit_under_test({"performance_class": service.performance_class})
    margin = 0.1 if bits == 16 and test in tests.STATIC else 1.0
    found = findings(suite(service, sample_rate)[test], unit, bench(sample_rate, bits), service)
    lines = [f"{finding} ({100 * finding.fraction:.0f} %)" for finding in found]
    print("\n".join(["", *lines]))  # noqa: T201 - value against limit is what an engineer runs this for
    assert found
    assert all(finding.limit is None or finding.fraction <= margin for finding in found), "\n".join(lines)


def test_out_of_band_interference_is_asked_of_class_m_only():
    assert tests.INTERFERENCE in suite(SERVICES[2], 3200.0)
    assert tests.INTERFERENCE not in suite(SERVICES[0], 3200.0)


@pytest.mark.parametrize("report_rate", [10, 25])
def test_class_p_holds_at_slower_reporting_too(report_rate):
    service = Service("P", 50.0, report_rate)
    unit = unit_under_test({"performance_class": "P"})
    chosen = [
        trial
        for trial in trials(service, 3200.0, Density.FEW)
        if trial.test in (tests.BOTH_MODULATIONS, tests.RAMP, tests.PHASE_STEP, tests.AMPLITUDE_STEP)
    ]
    found = findings(chosen, unit, bench(3200.0, 12), service)
    assert all(finding.met for finding in found), "\n".join(map(str, found))
