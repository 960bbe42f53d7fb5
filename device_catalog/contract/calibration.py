"""
What a calibration found: the constants of a device's channels, when, by whom and against what.

A document of its own, beside what an operator decides (`documents`): a configuration says how a channel is meant to be
wired, a calibration what was measured of it. It is kept by the device and by the catalog, which hands it out inside
the desired document; of two the later one counts, wherever it comes from. One without channels takes all constants
back to those of the settings.

A channel's constants hold for the input, ratio and direction that they were measured with, and for no others.
"""

import math
from datetime import datetime

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.topics import is_identifier

MAXIMUM_CHANNELS = 256
MAXIMUM_TEXT = 200


class ChannelCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The constants of one channel.

    Attributes
    ----------
    name : str
    input : int or str
    ratio : float
        [V/V or A/V]
    reversed : bool
        Input, ratio and direction as they were when it was calibrated.
    gain : float
        [1]
    offset : float
        [V]
    phase_correction : float
        [rad]
    gain_uncertainty, phase_uncertainty : float
        Standard uncertainties on that day [1], [rad].
    gain_drift, phase_drift : float
        Largest change in a year, either way [1/year], [rad/year].
    made : datetime or None
    by : str
        When, and by whom, where that was at an earlier calibration than the document's.
    """

    name: str
    input: int | str
    ratio: float
    reversed: bool = False
    gain: float = 1.0
    offset: float = 0.0
    phase_correction: float = 0.0
    gain_uncertainty: float = 0.0
    phase_uncertainty: float = 0.0
    gain_drift: float = 0.0
    phase_drift: float = 0.0
    made: datetime | None = None
    by: str = ""


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag="calibration/1"):
    """
    The constants of a device.

    Attributes
    ----------
    device : str
    made : datetime
        With a time zone.
    by : str
        Who did it.
    reference : str
        What it was compared with, such as a meter's maker, model and serial number.
    channels : tuple of ChannelCalibration
        Empty to go back to the settings' own constants.
    note : str
    """

    device: str
    made: datetime
    by: str
    reference: str = ""
    channels: tuple[ChannelCalibration, ...] = ()
    note: str = ""


def newest(*calibrations: Calibration | None) -> Calibration | None:
    """Return the one made last; of two made at the same moment the first, None where there is none."""
    there = [calibration for calibration in calibrations if calibration is not None]
    return max(there, key=lambda one: one.made, default=None)


def problems_of(calibration: Calibration, where: str = "calibration", device: str = "") -> list[Problem]:
    """
    Find everything wrong with what a calibration says.

    Parameters
    ----------
    calibration : Calibration
    where : str
    device : str
        Whose it should be; empty for anybody's.
    """
    problems = []

    def expect(right: bool, name: str, expected: str, found: object) -> None:
        if not right:
            problems.append(Problem(f"{where}.{name}", expected, shortened(found)))

    expect(not device or calibration.device == device, "device", device, calibration.device)
    expect(calibration.made.tzinfo is not None, "made", "a time with its zone, such as ...Z", calibration.made)
    expect(0 < len(calibration.by) <= MAXIMUM_TEXT, "by", f"a name of 1 to {MAXIMUM_TEXT} characters", calibration.by)
    for name in ("reference", "note"):
        text = getattr(calibration, name)
        expect(len(text) <= MAXIMUM_TEXT, name, f"at most {MAXIMUM_TEXT} characters", text)
    count = len(calibration.channels)
    expect(count <= MAXIMUM_CHANNELS, "channels", f"at most {MAXIMUM_CHANNELS}", count)
    names = [channel.name for channel in calibration.channels]
    expect(len(set(names)) == count, "channels", "each channel once", ", ".join(names))
    for index, channel in enumerate(calibration.channels[:MAXIMUM_CHANNELS]):
        path = f"channels[{index}]"
        expect(is_identifier(channel.name), f"{path}.name", "letters, digits, _ and - (at most 64)", channel.name)
        zoned = channel.made is None or channel.made.tzinfo is not None
        expect(zoned, f"{path}.made", "a time with its zone, such as ...Z", channel.made)
        expect(len(channel.by) <= MAXIMUM_TEXT, f"{path}.by", f"at most {MAXIMUM_TEXT} characters", channel.by)
        for field, low, high in _ranges:
            value = getattr(channel, field)
            right = math.isfinite(value) and low <= value <= high and not (value == 0 and field in _positive)
            expect(right, f"{path}.{field}", f"a number from {low:g} to {high:g}", value)
    return problems


_positive = ("ratio", "gain")
_ranges = (
    ("ratio", 0, 1e9),
    ("gain", 0, 1e6),
    ("offset", -1e3, 1e3),
    ("phase_correction", -math.pi, math.pi),
    ("gain_uncertainty", 0, 1),
    ("phase_uncertainty", 0, math.pi),
    ("gain_drift", 0, 1),
    ("phase_drift", 0, math.pi),
)
