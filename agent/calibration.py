"""
Which calibration is in force, and what it makes of the settings.

Between the desired document, whose channels say how they are meant to be wired, and the sampler, which is told the
constants that were measured. Two calibrations may be there: the one in the device's folder, which an offline start
finds, and the one in the desired document, which a new card gets from the catalog. The later one counts; where that is
the device's own, the catalog is told (`Calibrations.unsent`). No numpy.

A channel's constants are used where input, ratio and direction are as they were when it was calibrated; otherwise the
settings count and a problem is reported. Uncertainties grow with age, in steps of a quarter of a year.
"""

import logging
import math
from datetime import UTC, datetime

import msgspec

from agent.clock import Clock
from agent.store import Store
from device_catalog.contract.calibration import Calibration, ChannelCalibration, newest, problems_of
from device_catalog.contract.documents import Acquisition, ChannelSetting, Configuration, Desired
from device_catalog.contract.reports import CalibrationReport
from device_catalog.contract.validation import DocumentError, parse_calibration

log = logging.getLogger(__name__)

QUARTER = 365.25 / 4 * 86_400
"""[s]"""


def aged(uncertainty: float, drift: float, seconds: float) -> float:
    r"""
    Say what a constant's uncertainty has become.

    Parameters
    ----------
    uncertainty : float
        At the calibration.
    drift : float
        Largest change in a year, either way [1/year or rad/year].
    seconds : float
        Since the calibration [s]; counted in quarters begun, so that it changes seldom. What lies in the future is
        no age: the clock is wrong.

    Notes
    -----
    :math:`u^2 = u_0^2 + (d\,t)^2 / 3`, the drift being even between its bounds (JCGM 100:2008, 4.3.7).

    Examples
    --------
    >>> round(aged(1e-3, 1e-3, 2 * 365.25 * 86_400), 6)  # after two years
    0.001528
    """
    return math.hypot(uncertainty, drift * quarters(seconds) / 4.0 / math.sqrt(3.0))


def quarters(seconds: float) -> int:
    """Count the quarters of a year begun."""
    return math.ceil(max(0.0, seconds) / QUARTER)


def calibrated(
    acquisition: Acquisition, calibration: Calibration | None, now: datetime
) -> tuple[Acquisition, tuple[str, ...], tuple[str, ...]]:
    """
    Put a calibration's constants in the place of the settings'.

    Parameters
    ----------
    acquisition : Acquisition
    calibration : Calibration or None
    now : datetime
        For the calibration's age.

    Returns
    -------
    acquisition : Acquisition
    used : tuple of str
        Names of the channels whose constants are the calibration's.
    problems : tuple of str
        Calibrated channels that are wired otherwise now.
    """
    if calibration is None or not calibration.channels:
        return acquisition, (), ()
    known = {channel.name: channel for channel in calibration.channels}
    channels, used, problems = [], [], []
    for setting in acquisition.channels:
        channel = known.get(setting.name)
        if channel is None:
            channels.append(setting)
        elif fits(setting, channel):
            age = (now - (channel.made or calibration.made)).total_seconds()
            channels.append(_with_constants(setting, channel, age))
            used.append(setting.name)
        else:
            channels.append(setting)
            problems.append(
                f"channel {setting.name} was calibrated at input {channel.input}, ratio {channel.ratio:g}"
                f"{', reversed' if channel.reversed else ''}, and is set to input {setting.input}, ratio "
                f"{setting.ratio:g}{', reversed' if setting.reversed else ''}: calibrate it again"
            )
    return msgspec.structs.replace(acquisition, channels=tuple(channels)), tuple(used), tuple(problems)


def fits(setting: ChannelSetting, channel: ChannelCalibration) -> bool:
    """Tell whether a channel is wired as it was when it was calibrated."""
    return (setting.input, setting.ratio, setting.reversed) == (channel.input, channel.ratio, channel.reversed)


def _with_constants(setting: ChannelSetting, channel: ChannelCalibration, age: float) -> ChannelSetting:
    return msgspec.structs.replace(
        setting,
        gain=channel.gain,
        offset=channel.offset,
        phase_correction=channel.phase_correction,
        gain_uncertainty=min(aged(channel.gain_uncertainty, channel.gain_drift, age), 0.99),
        phase_uncertainty=min(aged(channel.phase_uncertainty, channel.phase_drift, age), 0.99),
    )


class Calibrations:
    """
    The calibrations of one device.

    Parameters
    ----------
    store : Store
    clock : Clock

    Attributes
    ----------
    in_force : Calibration or None
        The later of the two.
    unsent : Calibration or None
        The one that the catalog does not know yet.
    problems : tuple of str
        What an operator should know.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.in_force: Calibration | None = None
        self.unsent: Calibration | None = None
        self.problems: tuple[str, ...] = ()
        self._used: tuple[str, ...] = ()
        self._seen: tuple[bytes | None, int] = (None, 0)

    def applied_to(self, desired: Desired) -> Configuration:
        """Return the configuration with the constants of the calibration that is in force."""
        kept = self._store.calibration()
        own, problems = own_calibration(kept, desired.device)
        self.in_force = newest(desired.calibration, own)
        self.unsent = own if self.in_force is own and own != desired.calibration else None
        self._seen = kept, self._age()
        configuration = desired.configuration
        self.problems, self._used = problems, ()
        if configuration.acquisition is None:
            return configuration
        acquisition, self._used, unfit = calibrated(configuration.acquisition, self.in_force, self._now())
        self.problems = problems + unfit
        return msgspec.structs.replace(configuration, acquisition=acquisition)

    def stale(self) -> bool:
        """Tell whether the settings have to be applied again: newly calibrated, or a quarter older."""
        return self._seen != (self._store.calibration(), self._age())

    def report(self) -> CalibrationReport | None:
        """Say which calibration is in force, and for which channels; None where there is none."""
        if self.in_force is None:
            return None
        return CalibrationReport(self.in_force.made, self.in_force.by, self.in_force.reference, self._used)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)

    def _age(self) -> int:
        """Sum up the quarters that all channels have seen: it changes when any uncertainty does."""
        if self.in_force is None:
            return 0
        now = self._now()
        made = [channel.made or self.in_force.made for channel in self.in_force.channels]
        return sum(quarters((now - one).total_seconds()) for one in made)


def own_calibration(document: bytes | None, device: str) -> tuple[Calibration | None, tuple[str, ...]]:
    """
    Read the calibration in a device's folder; also what is wrong with it, such as its being another device's.

    Parameters
    ----------
    document : bytes or None
    device : str
    """
    if document is None:
        return None, ()
    try:
        found = parse_calibration(document)
        problems = problems_of(found, device=device)
    except DocumentError as error:
        problems = list(error.problems)
    if not problems:
        return found, ()
    words = f"the calibration in this device's folder cannot be used: {'; '.join(str(one) for one in problems)}"
    log.error("%s", words)
    return None, (words,)
