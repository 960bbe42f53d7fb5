"""A channel's constants follow from a reference meter's readings with the uncertainty that the GUM gives."""

import math
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calibration import Calibrations, aged, calibrated
from agent.store import Store
from algorithms.api.samples import Phase, Quantity
from device_catalog.contract.calibration import Calibration, ChannelCalibration
from device_catalog.contract.documents import Acquisition, ChannelSetting, Configuration, Desired
from hardware.calibration import Measured, Reference, calibrate, lag_of, problems_of, read_value
from hardware.source import ChannelRequest

MADE = datetime(2026, 5, 1, 12, tzinfo=UTC)
YEAR = 365.25 * 86_400
STEADY = np.full(50, 1.0)


def request(**changes: object) -> ChannelRequest:
    return ChannelRequest("ua", Quantity.VOLTAGE, Phase.A, 0, **{"ratio": 100.0, **changes})


# ---- hardware.calibration


@given(
    gain=st.floats(0.5, 2.0),
    offset=st.floats(-1.0, 1.0),
    phase=st.floats(-0.5, 0.5),
    wrong_gain=st.floats(0.96, 1.04),
    wrong_offset=st.floats(-0.05, 0.05),
    wrong_phase=st.floats(-0.05, 0.05),
    reversed_=st.booleans(),
)
def test_what_a_channel_is_wrong_by_is_what_is_taken_out(
    *,
    gain: float,
    offset: float,
    phase: float,
    wrong_gain: float,
    wrong_offset: float,
    wrong_phase: float,
    reversed_: bool,
) -> None:
    """A converter's volts through wrong constants give the readings; the constants found are the right ones."""
    right = request(gain=gain, offset=offset, phase_correction=phase, reversed=reversed_)
    used = request(
        gain=gain * wrong_gain, offset=offset + wrong_offset, phase_correction=phase - wrong_phase, reversed=reversed_
    )
    sign = -1.0 if reversed_ else 1.0
    measured = Measured(
        rms=230.0 * wrong_gain * STEADY,
        mean=sign * used.ratio * used.gain * (right.offset - used.offset),
        lead=(-0.3 + wrong_phase) * STEADY,
    )
    found = calibrate(used, measured, Reference(230.0, 0.1), Reference(-0.3, 1e-3)).request
    assert found.gain == pytest.approx(right.gain, rel=1e-9)
    assert found.offset == pytest.approx(right.offset, abs=1e-9)
    assert found.phase_correction == pytest.approx(right.phase_correction, abs=1e-9)
    assert found.gain_uncertainty == pytest.approx(0.1 / 230.0, rel=1e-3)
    assert found.phase_uncertainty == pytest.approx(1e-3, rel=1e-3)


def test_unsteadiness_quantisation_and_the_reference_make_the_uncertainty() -> None:
    rng = np.random.default_rng(1)
    measured = Measured(rms=230.0 * (1 + 1e-3 * rng.standard_normal(5000)), resolution=1.0)
    found = calibrate(request(), measured, Reference(230.0, 0.23)).request
    assert found.gain_uncertainty == pytest.approx(math.hypot(1e-3, 1e-3, 1 / math.sqrt(12) / 230), rel=0.05)


def test_a_readings_last_digit_counts() -> None:
    assert read_value("230", 0.0).uncertainty == pytest.approx(0.5 / math.sqrt(3))
    assert read_value("230.00", 0.0).uncertainty == pytest.approx(0.005 / math.sqrt(3))
    assert read_value("2.3e2", 0.0).uncertainty == pytest.approx(5 / math.sqrt(3))
    assert read_value(" -1.5 ", 0.01).uncertainty == pytest.approx(math.hypot(0.015, 0.05) / math.sqrt(3))
    for text in ("", "nan", "inf", "23O", "1,5", "1e999", "0x10"):
        with pytest.raises(ValueError, match="a number such as"):
            read_value(text, 0.0)


@pytest.mark.parametrize("lag", [math.radians(30), math.radians(-60), math.radians(80)])
def test_angles_from_power_are_as_uncertain_as_monte_carlo_says(lag: float) -> None:
    rng = np.random.default_rng(2)
    volts, amperes = 230.0, 5.0
    power, reactive = volts * amperes * math.cos(lag), volts * amperes * math.sin(lag)
    u = 1e-3
    values = [Reference(value, abs(value) * u) for value in (volts, amperes, power, reactive)]
    drawn = np.array([one.value + one.uncertainty * rng.standard_normal(20_000) for one in values])
    by_both = lag_of(*values, lags=lag > 0)
    assert by_both.value == pytest.approx(lag)
    assert by_both.uncertainty == pytest.approx(np.arctan2(drawn[3], drawn[2]).std(), rel=0.05)
    by_factor = lag_of(*values[:3], None, lags=lag > 0)
    assert by_factor.value == pytest.approx(lag)
    spread = np.arccos(np.clip(drawn[2] / (drawn[0] * drawn[1]), -1, 1)).std()
    assert by_factor.uncertainty == pytest.approx(spread, rel=0.05)


def test_everything_implausible_is_named_at_once() -> None:
    rng = np.random.default_rng(3)
    measured = Measured(
        rms=1.0 + 0.05 * rng.standard_normal(100), mean=0.5, lead=0.3 * STEADY, resolution=0.1, full_scale=100.0
    )
    correction = calibrate(request(), measured, Reference(1.2, 0.001), Reference(0.0, 1e-3))
    places = [problem.where for problem in problems_of(correction, measured)]
    assert places == ["ua.gain", "ua.phase_correction", "ua.offset", "ua", "ua"]
    good = Measured(rms=230.0 * STEADY, lead=0.001 * STEADY, resolution=0.1, full_scale=400.0)
    assert problems_of(calibrate(request(), good, Reference(231.0, 0.1), Reference(0.0, 1e-3)), good) == []


# ---- agent.calibration


def channel(**changes: object) -> ChannelCalibration:
    fields = {"gain": 1.01, "offset": 0.02, "phase_correction": 0.003, "gain_uncertainty": 1e-3, "gain_drift": 2e-3}
    return ChannelCalibration("ua", 0, 100.0, **{**fields, **changes})


def acquisition(**changes: object) -> Acquisition:
    setting = ChannelSetting("ua", "voltage", "A", 0, ratio=100.0, **changes)
    return Acquisition("board", 6400.0, channels=(setting,))


def calibration(made: datetime = MADE, **changes: object) -> Calibration:
    return Calibration("m-1", made, "A. Installer", channels=(channel(**changes),))


def desired(known: Calibration | None, setting: Acquisition | None = None) -> Desired:
    configuration = Configuration(acquisition=setting or acquisition())
    return Desired("m-1", "t", 1, MADE, configuration, calibration=known)


class At:
    """A clock that a test sets."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now_ns(self) -> int:
        return int(self.moment.timestamp() * 1e9)

    def monotonic(self) -> float:
        return self.moment.timestamp()


def test_measured_constants_take_the_place_of_the_settings() -> None:
    found, used, problems = calibrated(acquisition(gain=1.5), calibration(), MADE)
    setting = found.channels[0]
    assert (setting.gain, setting.offset, setting.phase_correction) == (1.01, 0.02, 0.003)
    assert (used, problems) == (("ua",), ())
    assert calibrated(acquisition(), None, MADE) == (acquisition(), (), ())


@pytest.mark.parametrize("changes", [{"ratio": 200.0}, {"input": 1}, {"reversed": True}])
def test_constants_hold_for_the_wiring_they_were_measured_with(changes: dict[str, object]) -> None:
    setting = msgspec.structs.replace(acquisition().channels[0], **changes)
    wired = msgspec.structs.replace(acquisition(), channels=(setting,))
    found, used, problems = calibrated(wired, calibration(), MADE)
    assert found == wired
    assert used == ()
    assert "calibrate it again" in problems[0]


@given(years=st.floats(0.0, 20.0), drift=st.floats(0.0, 0.01), uncertainty=st.floats(0.0, 0.01))
def test_uncertainty_grows_with_age_and_never_shrinks(years: float, drift: float, uncertainty: float) -> None:
    exact = math.hypot(uncertainty, drift * years / math.sqrt(3))
    stated = aged(uncertainty, drift, years * YEAR)
    assert exact - 1e-12 <= stated <= math.hypot(uncertainty, drift * (years + 0.25) / math.sqrt(3)) + 1e-12
    assert aged(uncertainty, drift, -YEAR) == uncertainty


def test_the_later_of_two_counts_and_the_catalog_is_told_of_the_devices_own(tmp_path) -> None:
    store = Store(tmp_path)
    calibrations = Calibrations(store, At(MADE))
    assert calibrations.applied_to(desired(None)).acquisition == acquisition()
    assert (calibrations.report(), calibrations.unsent) == (None, None)

    catalogs = calibration(MADE, gain=1.02)
    applied = calibrations.applied_to(desired(catalogs)).acquisition
    assert applied is not None
    assert applied.channels[0].gain == 1.02
    assert calibrations.unsent is None, "a new card: the catalog's is used"

    own = calibration(MADE + timedelta(hours=1), gain=1.03)
    store.keep_calibration(msgspec.json.encode(own))
    assert calibrations.stale()
    applied = calibrations.applied_to(desired(catalogs)).acquisition
    assert applied is not None
    assert applied.channels[0].gain == 1.03
    assert calibrations.unsent == own
    assert not calibrations.stale()

    applied = calibrations.applied_to(desired(own)).acquisition
    assert applied is not None
    assert calibrations.unsent is None, "the catalog knows it by now"
    report = calibrations.report()
    assert report is not None
    assert (report.made, report.by, report.channels) == (own.made, "A. Installer", ("ua",))

    reset = Calibration("m-1", MADE + timedelta(hours=2), "B. Installer")
    assert calibrations.applied_to(desired(reset)).acquisition == acquisition()


def test_settings_are_applied_again_when_a_quarter_is_over(tmp_path) -> None:
    clock = At(MADE + timedelta(days=1))
    calibrations = Calibrations(Store(tmp_path), clock)

    def uncertainty() -> float:
        applied = calibrations.applied_to(desired(calibration())).acquisition
        assert applied is not None
        return applied.channels[0].gain_uncertainty

    first = uncertainty()
    clock.moment = MADE + timedelta(days=90)
    assert not calibrations.stale()
    clock.moment = MADE + timedelta(days=92)
    assert calibrations.stale()
    assert uncertainty() > first


def test_a_card_of_another_meter_brings_no_calibration_with_it(tmp_path) -> None:
    store = Store(tmp_path)
    other = msgspec.structs.replace(calibration(MADE + timedelta(days=1), gain=1.5), device="m-2")
    store.keep_calibration(msgspec.json.encode(other))
    calibrations = Calibrations(store, At(MADE))
    applied = calibrations.applied_to(desired(calibration())).acquisition
    assert applied is not None
    assert applied.channels[0].gain == 1.01
    assert calibrations.unsent is None
    assert "expected m-1, found m-2" in calibrations.problems[0]


def test_a_damaged_calibration_is_said_and_the_catalogs_is_used(tmp_path) -> None:
    store = Store(tmp_path)
    store.keep_calibration(b'{"schema": "calibration/1", "device": 7}')
    calibrations = Calibrations(store, At(MADE))
    applied = calibrations.applied_to(desired(calibration())).acquisition
    assert applied is not None
    assert applied.channels[0].gain == 1.01
    assert "cannot be used" in calibrations.problems[0]
    (tmp_path / "calibration").write_bytes(b"tresma 1 00000000\nxxx")
    for _ in range(3):
        calibrations.stale()
    assert len(store.complaints) == 1
