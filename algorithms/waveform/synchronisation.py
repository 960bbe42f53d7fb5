"""
The frequency and phase that a few cycles of samples have, from the turn between their first and second half.

What `phasor` and `tracking` do for frames, at the cost of two weighted sums: no derivatives, no harmonics. Windows that
must hold a whole number of cycles (IEC 61000-4-30) find their length here. Everything is per sample: frequencies in
cycles per sample, positions in samples from the beginning of the array.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.waveform.phasor import Complexes, Floats

CLOSE = 2e-3
"""A frequency found this near to the one assumed needs no second look [1]: the windows reject harmonics well enough."""
REFINEMENTS = 4


@dataclass(frozen=True, slots=True, eq=False)
class CommonPhase:
    """
    The fundamental of all channels around an instant.

    Attributes
    ----------
    frequency : float
        Mean over the samples seen [cycles per sample].
    middle : float
        The instant [samples].
    phasors : numpy.ndarray
        Peak values there (n_channels,): x(n) = Re[p exp(2 pi j f (n - middle))].
    """

    frequency: float
    middle: float
    phasors: Complexes

    def angle_at(self, positions: Floats) -> Floats:
        """Return the angle of each channel at positions of its own, shape (n_channels,) [rad]."""
        angles: Floats = np.angle(self.phasors) + 2 * np.pi * self.frequency * (positions - self.middle)
        return angles


def common_phase(samples: Floats, begin: float, frequency: float, cycles: int, lowest: float) -> CommonPhase | None:
    r"""
    Find the frequency that all channels share over a number of cycles.

    Parameters
    ----------
    samples : numpy.ndarray
        Shape (n_channels, n_samples); must reach one sample beyond the last cycle.
    begin : float
        Where the first cycle begins [samples].
    frequency : float
        Expected frequency, within half a turn of the right one over half of the cycles [cycles per sample].
    cycles : int
        Even.
    lowest : float
        Least sum of squared peak values of all channels that tells a frequency [V^2 or A^2].

    Returns
    -------
    CommonPhase or None
        None where there is too little signal, or none that keeps one frequency.

    Notes
    -----
    With :math:`P_1, P_2` the Hann-weighted phasors of both halves at the expected frequency and T half their common
    length, :math:`2 \pi \Delta f T = \arg \sum_c P_{1c}^* P_{2c}`. Channels weigh by their power, so a missing phase
    says nothing and an unbalanced system is as good as a balanced one.
    """
    first = round(begin)
    for _ in range(REFINEMENTS):
        half = round(0.5 * cycles / frequency)
        if first < 0 or first + 2 * half > samples.shape[1]:
            return None
        places = np.arange(half)
        table = (0.5 - 0.5 * np.cos((2 * np.pi / half) * (places + 0.5))) * np.exp((-2j * np.pi * frequency) * places)
        parts = samples[:, first : first + 2 * half].reshape(-1, 2, half) @ table * (4.0 / half)
        early, late = parts[:, 0], parts[:, 1] * np.exp(-2j * np.pi * frequency * half)
        together = complex(np.vdot(early, late))
        if not abs(together) > lowest:
            return None
        turn = float(np.angle(together))
        found = frequency + turn / (2 * np.pi * half)
        close = abs(found - frequency) <= CLOSE * frequency
        if close:
            middle = first + half - 0.5
            shared = 0.5 * (early * np.exp(0.5j * turn) + late * np.exp(-0.5j * turn))
            shared *= np.exp(2j * np.pi * frequency * (half - 0.5))
            return CommonPhase(found, middle, shared)
        frequency = found
        if not 0 < frequency < 0.25:
            return None
    return None
