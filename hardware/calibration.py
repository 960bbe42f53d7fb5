r"""
Calibration constants of channels from a reference meter's readings, and how certain they are. Pure.

A meter measures a steady signal beside a reference; `calibrate` says by how much its gain, offset and phase
displacement have to change, `problems_of` whether that is plausible. Between the measurement
(`agent.console.calibration_measurement`) and the document that is kept (`device_catalog.contract.calibration`).

Uncertainties follow the GUM (JCGM 100:2008): the reference's accuracy class is the half width of an even distribution
(4.3.7), so is half of the last digit that was read; the signal's unsteadiness counts whole, since the reference was
read at another moment. What the constants drift by afterwards is added where they are used (`agent.calibration`).
"""

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import Problem
from hardware.source import ChannelRequest

LARGEST_GAIN = 0.05
"""A gain further off than this is a wrong ratio, no tolerance of a part [1]."""
LARGEST_PHASE = math.radians(5.0)
"""A phase further off than this is wrong wiring or a wrong skew [rad]."""
LARGEST_OFFSET = 0.05
"""An offset further off than this share of the signal's amplitude is a fault [1]."""
UNSTEADY = 2e-3
"""Relative standard deviation of the RMS from which a signal is not steady enough [1]."""
UNSTEADY_PHASE = math.radians(0.2)
"""[rad]"""
LEAST_STEPS = 100.0
"""A signal's RMS covers at least so many steps of the converter [1]."""
LEAST_SHARE = 0.02
"""Share of the converter's range that a signal's amplitude covers at least [1]."""

_number = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")


@dataclass(frozen=True, slots=True)
class Reference:
    """A value and its standard uncertainty, in the same unit."""

    value: float
    uncertainty: float


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """
    What a channel showed beside the reference.

    Attributes
    ----------
    rms : numpy.ndarray
        (n_frames,), with the constants in force [V or A].
    mean : float
        [V or A]
    lead : numpy.ndarray or None
        By how much the channel leads what its angle is referred to (n_frames,) [rad].
    resolution : float
        One step of the converter [V or A]; 0 where it is not known.
    full_scale : float
        [V or A]; 0 where it is not known.
    """

    rms: NDArray[np.float64]
    mean: float = 0.0
    lead: NDArray[np.float64] | None = None
    resolution: float = 0.0
    full_scale: float = 0.0


@dataclass(frozen=True, slots=True)
class Correction:
    """
    How a channel's constants change.

    Attributes
    ----------
    request : ChannelRequest
        With the new constants and their uncertainties.
    gain : float
        Relative change of the gain [1].
    offset : float
        Change of the offset [V].
    phase : float
        Change of the phase correction [rad].
    unsteadiness, phase_unsteadiness : float
        Standard deviation of the RMS [1] and of the angle [rad] while it was measured.
    """

    request: ChannelRequest
    gain: float
    offset: float
    phase: float
    unsteadiness: float
    phase_unsteadiness: float


def read_value(text: str, accuracy: float, least: float = 0.0) -> Reference:
    """
    Take a reading as a person types it: its last digit tells how finely it was read.

    Parameters
    ----------
    text : str
        Such as ``230.15``.
    accuracy : float
        Accuracy class of the reference, as a share of the reading [1].
    least : float
        Its accuracy at zero, in the reading's unit.

    Raises
    ------
    ValueError
        When it is no number.

    Examples
    --------
    >>> reading = read_value("230.1", accuracy=0.002)
    >>> reading.value, round(reading.uncertainty, 4)
    (230.1, 0.2673)
    """
    text = text.strip()
    match = _number.fullmatch(text)
    if match is None:
        raise ValueError(f"a number such as 230.15 expected, found {text[:40]!r}")
    value = float(text)
    digits, _, exponent = text.lower().partition("e")
    decimals = len(digits.partition(".")[2]) - int(exponent or 0)
    last_digit = 10.0**-decimals
    return Reference(value, math.hypot(accuracy * abs(value), least, 0.5 * last_digit) / math.sqrt(3.0))


def lag_of(
    voltage: Reference, current: Reference, power: Reference, reactive: Reference | None, *, lags: bool
) -> Reference:
    r"""
    Find by how much a current lags its voltage, from powers [rad].

    Parameters
    ----------
    voltage, current : Reference
        RMS [V], [A].
    power, reactive : Reference
        Active [W] and reactive [var], both into the load; with None for the latter the angle is that of the power
        factor, which is uncertain near 1.
    lags : bool
        Whether the current lags, as far as the power factor cannot tell.

    Notes
    -----
    :math:`\varphi = \operatorname{atan2}(Q, P)`, or :math:`\pm\arccos(P / U I)` with
    :math:`u_\varphi = |\cot\varphi| \sqrt{u_P^2 + u_U^2 + u_I^2}`, all relative.
    """
    if reactive is not None:
        square = power.value**2 + reactive.value**2
        across = math.hypot(power.value * reactive.uncertainty, reactive.value * power.uncertainty)
        return Reference(math.atan2(reactive.value, power.value), across / max(square, 1e-300))
    factor = max(-1.0, min(1.0, power.value / (voltage.value * current.value)))
    angle = math.acos(factor)
    relative = math.hypot(
        power.uncertainty / max(abs(power.value), 1e-300),
        voltage.uncertainty / voltage.value,
        current.uncertainty / current.value,
    )
    # Where the factor is 1 the angle's square is what is known: no more certain than the root of that.
    uncertainty = relative * abs(factor) / max(abs(math.sin(angle)), math.sqrt(relative), 1e-9)
    return Reference(angle if lags else -angle, uncertainty)


def calibrate(
    request: ChannelRequest, measured: Measured, level: Reference | None, lead: Reference | None = None
) -> Correction:
    r"""
    Find a channel's new constants.

    Parameters
    ----------
    request : ChannelRequest
        With the constants it was measured with.
    measured : Measured
    level : Reference or None
        RMS that the reference shows [V or A]; None to leave the gain as it is.
    lead : Reference or None
        By how much the channel should lead [rad]; None to leave the phase as it is.

    Notes
    -----
    The model is ``ratio * gain * (adc - offset)``: gain' = gain X_ref / X, offset' = offset + mean / (ratio gain), and
    the phase correction grows by what the channel leads too much. Relative uncertainty of the gain:
    :math:`u_g^2 = u_{ref}^2 + s^2 + (q^2 / 12) / X^2`, s being the standard deviation of the RMS.
    """
    rms = float(np.mean(measured.rms))
    unsteadiness = float(np.std(measured.rms)) / max(rms, 1e-300)
    offset = (-1.0 if request.reversed else 1.0) * measured.mean / (request.ratio * request.gain)
    change = phase = phase_unsteadiness = 0.0
    new = replace(request, offset=request.offset + offset)
    if level is not None:
        change = level.value / max(rms, 1e-300) - 1.0
        quantisation = measured.resolution / math.sqrt(12.0) / max(rms, 1e-300)
        uncertainty = math.hypot(level.uncertainty / max(abs(level.value), 1e-300), unsteadiness, quantisation)
        new = replace(new, gain=request.gain * (1.0 + change), gain_uncertainty=uncertainty)
    if lead is not None and measured.lead is not None:
        mean = complex(np.mean(np.exp(1j * measured.lead)))
        middle = math.atan2(mean.imag, mean.real)
        phase_unsteadiness = float(np.std(np.angle(np.exp(1j * (measured.lead - middle)))))
        phase = math.remainder(middle - lead.value, 2.0 * math.pi)
        uncertainty = math.hypot(lead.uncertainty, phase_unsteadiness)
        new = replace(new, phase_correction=request.phase_correction + phase, phase_uncertainty=uncertainty)
    return Correction(new, change, offset, phase, unsteadiness, phase_unsteadiness)


def problems_of(correction: Correction, measured: Measured) -> list[Problem]:
    """Find everything that is not plausible about a correction; nothing of it should be kept then."""
    name = correction.request.name
    rms = float(np.mean(measured.rms))
    problems = []
    if abs(correction.gain) > LARGEST_GAIN:
        problems.append(
            Problem(
                f"{name}.gain",
                f"a change within {100 * LARGEST_GAIN:g} %",
                f"{100 * correction.gain:+.3g} %",
                "compare the ratio in the settings with the transformer's plate, and the phases with the reference's",
            )
        )
    if abs(correction.phase) > LARGEST_PHASE:
        problems.append(
            Problem(
                f"{name}.phase_correction",
                f"a change within {math.degrees(LARGEST_PHASE):g} degrees",
                f"{math.degrees(correction.phase):+.3g} degrees",
                "see whether voltages and currents are of the same phase, and none is reversed",
            )
        )
    if abs(measured.mean) > LARGEST_OFFSET * math.sqrt(2.0) * rms:
        problems.append(
            Problem(
                f"{name}.offset",
                f"a mean within {100 * LARGEST_OFFSET:g} % of the amplitude",
                f"{measured.mean:.3g} beside {math.sqrt(2.0) * rms:.4g}",
                "see whether the input is grounded as it should be, and set its offset in the settings first",
            )
        )
    if correction.unsteadiness > UNSTEADY or correction.phase_unsteadiness > UNSTEADY_PHASE:
        problems.append(
            Problem(
                name,
                f"a signal that is steady within {100 * UNSTEADY:g} % and {math.degrees(UNSTEADY_PHASE):g} degrees",
                f"{100 * correction.unsteadiness:.2g} % and {math.degrees(correction.phase_unsteadiness):.2g} degrees",
                "use a steady source or load, or measure for longer",
            )
        )
    problems += _too_small(name, rms, measured)
    return problems


def _too_small(name: str, rms: float, measured: Measured) -> list[Problem]:
    least = max(LEAST_STEPS * measured.resolution, LEAST_SHARE * measured.full_scale / math.sqrt(2.0), 1e-9)
    if rms >= least:
        return []
    expected = f"at least {least:.3g}, for the converter's steps and range"
    return [Problem(name, expected, f"an RMS of {rms:.3g}", "raise voltage or current, or use a smaller range")]
