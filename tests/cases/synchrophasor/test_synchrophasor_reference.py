"""The standard's own reference filters on our test bench: the bench agrees with what is known of them."""

import numpy as np
import pytest

from tests.support import synchrophasor_limits as tests
from tests.support.synchrophasor import bench, findings, reference, unit_under_test
from tests.support.synchrophasor_limits import Service
from tests.support.synchrophasor_reference import reference_filter
from tests.support.synchrophasor_trials import Density, trials


def found_by(unit, service, bits, *chosen):
    every = [t for t in trials(service, 6400.0, Density.FEW) if not chosen or t.test in chosen]
    return {(f.test, f.measure): f for f in findings(every, unit, bench(6400.0, bits), service)}


@pytest.mark.parametrize("nominal", [50.0, 60.0])
def test_the_reference_of_class_p_keeps_every_limit_without_noise(nominal):
    """The standard says so of its own filter, which makes the limits and the signals of this bench plausible."""
    service = Service("P", nominal, int(nominal))
    found = found_by(reference, service, 0)
    assert all(f.met for f in found.values()), "\n".join(str(f) for f in found.values() if not f.met)


@pytest.mark.parametrize("nominal", [50.0, 60.0])
def test_the_reference_of_class_m_keeps_the_limits_of_tve_but_not_those_of_rocof(nominal):
    """As K. Duda and T. P. Zielinski found, Metrol. Meas. Syst. 23(4), 2016, doi 10.1515/mms-2016-0055."""
    service = Service("M", nominal, int(nominal))
    found = found_by(reference, service, 0)
    assert all(f.met for f in found.values() if f.measure == "TVE")
    assert not found[tests.FREQUENCY, "RFE"].met


def test_both_estimators_see_the_same_phasor():
    """A nominal signal without noise: what they agree on is then the bench's own zero."""
    service = Service("P", 50.0, 50)
    for unit in (reference, unit_under_test({"performance_class": "P"})):
        found = found_by(unit, service, 0, tests.VOLTAGE, tests.CURRENT)
        assert max(f.value for f in found.values() if f.measure == "TVE") < 1e-3


@pytest.mark.parametrize("service", [Service("P", 50.0, 50), Service("M", 50.0, 50), Service("M", 60.0, 60)])
def test_the_reference_filters_are_symmetric_and_pass_what_stands_still(service):
    weights = reference_filter(service, 6400.0)
    np.testing.assert_allclose(weights, weights[::-1])
    assert weights.sum() == pytest.approx(1.0)
    stopped = np.abs(np.fft.rfft(weights, 1 << 16))[round((1 << 16) * service.nominal * 2 / 6400) :]
    assert stopped.max() < 0.02
