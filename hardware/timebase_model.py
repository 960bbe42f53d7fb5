"""
What a time base hands out for each block of samples: the rate, the time of every sample, and how good both are.

Made by `timebase.TimeBase.model`, used by drivers that stamp blocks. A value: frozen, and the same answer for ever.
"""

from dataclasses import dataclass

from algorithms.api.samples import SampleFlag


@dataclass(frozen=True, slots=True)
class TimeModel:
    """
    What is known of time at one moment of a run; valid for the samples since the model before and some seconds ahead.

    Attributes
    ----------
    sample_rate : float
        True rate per channel, in samples per second of UTC [Hz].
    rate_uncertainty : float
        Its relative standard uncertainty [1].
    time_uncertainty : float
        Standard uncertainty of every stamp, common to all of them [s].
    stepped : bool
        Whether stamps do not continue those of the model asked for before.
    referenced : bool
        Whether stamps follow a reference from outside, not the host's clock.
    synchronised : bool
        Whether they follow anything that follows UTC.
    """

    sample_rate: float
    rate_uncertainty: float
    time_uncertainty: float
    stepped: bool
    referenced: bool
    synchronised: bool
    _index: int
    _whole_ns: int
    _rest_ns: float
    _interval_ns: float

    def time_ns(self, index: int) -> int:
        """Return the UTC at which a sample was taken [ns]."""
        return self._whole_ns + round(self._rest_ns + (index - self._index) * self._interval_ns)

    @property
    def flags(self) -> SampleFlag:
        """What a block stamped by this model is marked with."""
        return SampleFlag.NONE if self.synchronised else SampleFlag.UNSYNCHRONISED
