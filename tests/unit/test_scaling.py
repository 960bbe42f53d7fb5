"""From volts at the converter to primary values: one factor, one constant, and the phase as a time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.samples import Phase, Quantity
from hardware.scaling import clipped, described, problems_of_calibration, scaling_of
from hardware.source import ChannelRequest

_factors = st.floats(0.01, 1e4) | st.floats(-1e4, -0.01)


def channel(**changes: object) -> ChannelRequest:
    return ChannelRequest("ua", Quantity.VOLTAGE, Phase.A, 0, **changes)  # type: ignore[arg-type]


@given(ratio=_factors, gain=st.floats(0.5, 2), offset=st.floats(-10, 10), turned=st.booleans())
def test_primary_is_ratio_times_gain_times_adc_less_offset(
    ratio: float, gain: float, offset: float, turned: bool
) -> None:
    scaling = scaling_of([channel(ratio=ratio, gain=gain, offset=offset, reversed=turned), channel()])
    volts = np.linspace(-10, 10, 14).reshape(2, 7)
    expected = ratio * gain * (volts[0] - offset) * (-1 if turned else 1)
    primary = scaling.apply(volts)
    np.testing.assert_allclose(primary, [expected, volts[1]], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(scaling.invert(primary), volts, rtol=1e-9, atol=1e-9)


def test_volts_may_be_scaled_where_they_stand() -> None:
    volts = np.ones((1, 4), np.float32)
    result = scaling_of([channel(ratio=100.0, offset=0.5)]).apply(volts, out=volts)
    assert result is volts
    assert volts.tolist() == [[50.0] * 4]


def test_a_simulators_output_from_0_to_10_v_is_read_around_its_middle() -> None:
    request = channel(ratio=80.0, offset=5.0)
    assert scaling_of([request]).apply(np.array([[0.0, 5.0, 10.0]])).tolist() == [[-400.0, 0.0, 400.0]]
    found = described(request, nominal_frequency=50.0, step=10 / 4096, low=0.0, high=10.0)
    assert (found.resolution, found.full_scale) == (pytest.approx(80 * 10 / 4096), 400.0)


def test_a_leading_transducer_is_a_later_sample() -> None:
    """Its output at t shows what the line carries a little later, by the angle over the angular frequency."""
    angle, skew = math.radians(0.9), 52e-6
    found = described(channel(phase_correction=angle), nominal_frequency=50.0, skew=skew)
    t = np.arange(640) / 6400
    line = np.cos(2 * np.pi * 50 * (t + found.skew))
    seen = np.cos(2 * np.pi * 50 * (t + skew) + angle)
    np.testing.assert_allclose(line, seen, atol=1e-12)


def test_uncertainties_are_kept_and_an_unknown_range_is_0() -> None:
    found = described(channel(gain_uncertainty=1e-3, phase_uncertainty=2e-3), nominal_frequency=60.0)
    assert (found.gain_uncertainty, found.phase_uncertainty) == (1e-3, 2e-3)
    assert (found.resolution, found.full_scale, found.skew) == (0.0, 0.0, 0.0)


def test_everything_wrong_with_a_calibration_is_found() -> None:
    wrong = channel(
        ratio=0.0, gain=math.nan, offset=math.inf, phase_correction=3.0, gain_uncertainty=-1.0, phase_uncertainty=2.0
    )
    assert len(problems_of_calibration(wrong)) == 6
    assert all("channel ua: expected" in problem for problem in problems_of_calibration(wrong))
    with pytest.raises(ValueError, match=r"ratio .* found 0\.0; .* gain"):
        scaling_of([wrong])


def test_the_ends_of_a_converters_range_are_clipped() -> None:
    step = 20 / 4096
    for value, expected in (
        (-10.0, True),
        (10 - step, True),
        (10 - 2 * step, False),
        (-10 + step, False),
        (0.0, False),
    ):
        assert clipped(np.array([[0.0, value]]), -10.0, 10.0, step) is expected
