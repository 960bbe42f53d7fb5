"""Symmetrical components of three phasors, with what gain, phase and noise of each channel leave on them."""

import cmath
import math
from collections.abc import Sequence
from typing import TypeVar

from algorithms.waveform.phasor import Complexes

Phasors = TypeVar("Phasors", complex, Complexes)

_TURN = cmath.rect(1.0, 2 * math.pi / 3)
_BACK = _TURN.conjugate()
FORTESCUE = tuple(tuple(factor / 3 for factor in row) for row in ((1, 1, 1), (1, _TURN, _BACK), (1, _BACK, _TURN)))
"""Rows zero, positive and negative; columns phases A, B and C (C. L. Fortescue, Trans. AIEE 37, 1918)."""


def symmetrical_components(a: Phasors, b: Phasors, c: Phasors) -> tuple[Phasors, Phasors, Phasors]:
    """
    Return zero, positive and negative sequence, referred to phase A.

    Parameters
    ----------
    a, b, c : complex or numpy.ndarray
        Phases [V or A].

    Examples
    --------
    >>> a = cmath.rect(1.0, 2 * math.pi / 3)
    >>> [round(abs(x), 9) for x in symmetrical_components(230.0, 230.0 * a**2, 230.0 * a)]
    [0.0, 230.0, 0.0]
    """
    return (a + b + c) / 3, (a + _TURN * b + _BACK * c) / 3, (a + _BACK * b + _TURN * c) / 3


def component_uncertainty(
    phasors: Sequence[complex],
    components: Sequence[complex],
    noise: Sequence[float],
    gain: Sequence[float],
    phase: Sequence[float],
) -> list[tuple[float, float]]:
    r"""
    Propagate independent errors of three channels to their symmetrical components.

    Parameters
    ----------
    phasors, components : sequence of complex
        The three phases and their components [V or A].
    noise : sequence of float
        Standard uncertainty of each phasor along either axis [V or A].
    gain, phase : sequence of float
        Relative standard uncertainty of the gain [1] and of the phase displacement [rad].

    Returns
    -------
    list of tuple
        Standard uncertainty along each component and at right angles to it [V or A].

    Notes
    -----
    An error :math:`X_k (g + j \varphi)` of phase k enters component s turned by the difference of direction
    :math:`\alpha`, so that gains and phases exchange roles as :math:`\cos^2\alpha` and :math:`\sin^2\alpha`. Where a
    component vanishes its direction is arbitrary, and so is the split.
    """
    common = sum(value * value for value in noise) / 9
    gains = [value * value for value in gain]
    phases = [value * value for value in phase]
    sizes = [(x.real * x.real + x.imag * x.imag) / 9 for x in phasors]
    all_gains = common + sum(size * g for size, g in zip(sizes, gains, strict=True))
    all_phases = common + sum(size * p for size, p in zip(sizes, phases, strict=True))
    uncertainties = []
    for row, component in zip(FORTESCUE, components, strict=True):
        size = abs(component)
        onto = component.conjugate() / size if size else 1.0
        exchanged = 0.0
        for factor, phasor, g, p in zip(row, phasors, gains, phases, strict=True):
            along = (factor * phasor * onto).real
            exchanged += along * along * (g - p)
        uncertainties.append((math.sqrt(max(all_phases + exchanged, 0.0)), math.sqrt(max(all_gains - exchanged, 0.0))))
    return uncertainties
