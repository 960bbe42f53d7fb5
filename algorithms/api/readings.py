"""
The rows that records are made of: a value beside its standard uncertainty (1 sigma), in the unit the field states.

On the wire each is an array, so that a value and its uncertainty cannot get out of step and the names are paid for
once. What could not be measured is `None`, never NaN. Angles are those of x(t) = sqrt(2) X cos(2 pi f t + angle).
"""

import cmath

import msgspec


class Estimate(msgspec.Struct, frozen=True, array_like=True):
    """A value and its standard uncertainty (1 sigma), both in the unit the field states."""

    value: float
    uncertainty: float


class Phasor(msgspec.Struct, frozen=True, array_like=True):
    """
    A complex RMS value in polar form.

    Attributes
    ----------
    magnitude : float
        RMS of the fundamental [V or A].
    angle : float or None
        [rad], within (-pi, pi]; None where the magnitude is too small to have one.
    u_magnitude : float
        Standard uncertainty of the magnitude [V or A].
    u_angle : float or None
        Standard uncertainty of the angle [rad].

    Examples
    --------
    >>> Phasor(230.0, 0.0, 0.1, 0.001).phasor
    (230+0j)
    """

    magnitude: float
    angle: float | None
    u_magnitude: float
    u_angle: float | None

    @property
    def phasor(self) -> complex:
        """The complex value; only its magnitude where there is no angle."""
        return cmath.rect(self.magnitude, self.angle or 0.0)


class ChannelReading(Phasor, frozen=True, array_like=True):
    """The fundamental of one channel, and its true RMS with all harmonics [V or A]."""

    rms: float
    u_rms: float


class PowerReading(msgspec.Struct, frozen=True, array_like=True):
    """
    Powers of one phase, or of all (IEEE 1459).

    Attributes
    ----------
    p, u_p : float
        Active power and its standard uncertainty [W].
    q, u_q : float
        Fundamental reactive power [var].
    s, u_s : float
        Apparent power [VA].
    pf, u_pf : float or None
        Power factor p / s [1]; None where there is no apparent power.
    """

    p: float
    u_p: float
    q: float
    u_q: float
    s: float
    u_s: float
    pf: float | None
    u_pf: float | None


class SequenceReading(msgspec.Struct, frozen=True, array_like=True):
    """Symmetrical components of three phasors (Fortescue, referred to phase A)."""

    zero: Phasor
    positive: Phasor
    negative: Phasor
