"""
The true sampling rate and the UTC of every sample, from what a host sees of a board: sample counts and its own clocks.

Between a board's driver, which reads both, and the blocks that it stamps. A board says what rate it granted, and may be
wrong by hundreds of parts per million; its samples arrive in transfers, and are noticed late. ::

    base = TimeBase(granted_rate)
    base.observe(count, host_ns, steady_ns)       whenever the count was read
    base.host_clock(uncertainty, frequency)       every few seconds: what the kernel knows of UTC
    base.observe_reference(index, utc_ns, 1e-6)   where a pulse per second or a trigger is there
    model = base.model()                          for each block: model.time_ns(first_index), model.sample_rate, ...

Three parts stand behind it: `timebase_envelope` (count against the host's steady clock), `timebase_host` (that clock
against UTC), `timebase_reference` (instants known from outside). This one combines them and serves the outcome.

Rules: pure, no clock is read, memory and work are bounded. The rate served never jumps: it moves by at most
`RATE_SLEW`. Stamps never jump either, they are slewed by at most `TIME_SLEW`; when what is known of UTC moves further
than `STEP` they are set anew, and the model says `stepped`. All doubt is in `rate_uncertainty` and `time_uncertainty`.

The steady clock is CLOCK_MONOTONIC_RAW (`timebase_clocks.read_clocks`): a slew of UTC by the time daemon, up to 500
ppm, then never shows in the rate. A caller without one leaves `steady_ns` out; UTC then serves for both, a step of more
than `BREAK` is still told apart, and a slew is not.

When to look at the count: the more often soon after a transfer, the better. Waiting until the UTC
``model.time_ns(count + transfer - 1) + latency``, a varying fraction of a millisecond around it, and once more 0.5 ms
later when nothing was there, brings the rate to 1 ppm within a minute, and blocks early. Looks at equal times that
nearly keep step with the transfers tell little, and `rate_uncertainty` says so.
"""

import math

from algorithms.api.samples import NANOSECONDS
from hardware.timebase_envelope import DRIFT, Envelope
from hardware.timebase_host import HostTime
from hardware.timebase_model import TimeModel
from hardware.timebase_reference import References

RATE_SLEW = 50e-6
"""Fastest relative change of the rate served [1/s]."""
TIME_SLEW = 1e-3
"""Most by which stamps are made to run faster or slower than samples [1]."""
STEP = 5e-3
"""Stamps that are off by more, and by three times what readings leave uncertain, are set anew [s]."""
BREAK = 0.05
"""Readings that come this much too early, or all too late for `LATE_FOR`, begin a new line [s]."""
LATE_FOR = 10.0
"""[s]"""
DISCIPLINED = 1e-7
"""No free crystal is as good as this: a rate said to be follows something, and does not drift [1]."""

_EARLY_READINGS = 5
_RATE_TIME = 5.0
_AFTER_A_PAUSE = 0.05  # a reading after a long wait changes the rate no more than one in time
_TIME_TIME = 1.0


class TimeBase:
    """
    Follows one run of a board, from its start to its stop.

    Parameters
    ----------
    nominal_rate : float
        Per channel, as the board says or its clock divider gives [Hz].
    rate_tolerance : float
        Relative standard uncertainty of that at the beginning [1]; it grows as crystals drift. A sample clock that is
        disciplined by GPS is told by one below `DISCIPLINED`, such as 1e-9.
    latency : float
        Least time from a sample to the moment its being there can be read [s].
    latency_uncertainty : float
        [s]
    transfer : int
        Samples per channel that come at once; 0 where it is not known, for the fewest that ever came.

    Raises
    ------
    ValueError
        When a number is out of its range.

    Examples
    --------
    A board that runs 229 ppm slower than it says, read every 7 ms, each time up to 7 ms late:

    >>> base = TimeBase(3201.4635)
    >>> for k in range(8000):
    ...     count = int(0.007 * k * 3200.7316)
    ...     base.observe(count, 10**18 + round(count / 3200.7316e-9) + (k * 7919_000) % 7_000_000)
    >>> model = base.model()
    >>> abs(model.sample_rate / 3200.7316 - 1) < 1e-6
    True
    """

    def __init__(
        self,
        nominal_rate: float,
        *,
        rate_tolerance: float = 1e-3,
        latency: float = 0.0,
        latency_uncertainty: float = 5e-4,
        transfer: int = 0,
    ) -> None:
        for name, value in (("nominal_rate", nominal_rate), ("rate_tolerance", rate_tolerance)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"a finite {name} above 0 expected, found {value}")
        for name, value in (("latency", latency), ("latency_uncertainty", latency_uncertainty), ("transfer", transfer)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"a finite {name} of 0 or more expected, found {value}")
        self._nominal_rate = nominal_rate
        self._prior = (0.0, rate_tolerance, 0.0)  # slope of UTC over nominal time, its uncertainty, since when
        self._drift = DRIFT if rate_tolerance > DISCIPLINED else 0.0
        self._latency = latency
        self._latency_uncertainty = latency_uncertainty
        self._envelope = Envelope()
        self._host = HostTime()
        self._references = References(self._drift)
        self._origin: tuple[int, int, int] | None = None  # count, host and steady time of the first reading
        self._count = 0
        self._steady = 0.0
        self._told_transfer = transfer
        self._transfer = math.inf  # fewest samples that ever came at once
        self._early = 0
        self._late_since: float | None = None
        self._slope, self._slope_uncertainty = self._prior[:2]  # best estimate
        self._served = 0.0  # the slope handed out, which follows the best
        self._x = self._late = 0.0  # where stamps stand: UTC less nominal time, at a place
        self._pull = 0.0  # how much faster they run
        self._pending = 0.0
        self._handed_out = self._stepped = False

    def observe(self, count: int, host_ns: int, steady_ns: int | None = None) -> None:
        """
        Take a reading.

        Parameters
        ----------
        count : int
            Samples per channel that are complete; sample number ``count - 1`` is the newest of them. Readings of
            an unchanged count are worth telling: they show that the next did not come late.
        host_ns : int
            The host's UTC right after the count was read [ns].
        steady_ns : int or None
            Its steady clock at the same moment [ns]; in every reading of a run or in none.

        Raises
        ------
        ValueError
            When the count is lower than before.
        """
        if steady_ns is None:
            steady_ns = host_ns
        if self._origin is None:
            self._origin = (count, host_ns, steady_ns)
            self._count = count
            self._host.add(0.0, 0.0)
            self._envelope.add(0.0, 0.0, 0.0, 0.0)
            return
        if count < self._count:
            raise ValueError(f"a count of at least {self._count} expected, as it was before, found {count}")
        first, first_ns, first_steady_ns = self._origin
        steady = (steady_ns - first_steady_ns) * 1e-9
        elapsed, self._steady = steady - self._steady, steady
        self._host.add(steady, ((host_ns - steady_ns) - (first_ns - first_steady_ns)) * 1e-9)
        if count == self._count:
            return
        self._transfer = min(self._transfer, count - self._count)
        self._count = count
        x = (count - first) / self._nominal_rate
        if self._off_the_line(x, steady - x):
            return
        longest = (self._told_transfer or self._transfer) / self._nominal_rate
        if self._envelope.add(x, steady - x, min(max(elapsed, 0.0), longest), longest):
            self._combine()
        self._follow(x)

    def observe_reference(self, index: float, utc_ns: int, uncertainty: float) -> None:
        """
        Take an instant whose UTC is known from outside.

        Parameters
        ----------
        index : float
            Its place among the samples: 0.0 is the instant of sample 0, 99.5 half-way from sample 99 to 100.
        utc_ns : int
            [ns]
        uncertainty : float
            Standard uncertainty of both together [s].

        Raises
        ------
        RuntimeError
            When nothing has been observed yet.
        ValueError
            When the uncertainty is not above 0.
        """
        if self._origin is None:
            raise RuntimeError("observe comes before observe_reference")
        if not (math.isfinite(uncertainty) and uncertainty > 0):
            raise ValueError(f"a finite uncertainty above 0 expected [s], found {uncertainty}")
        x = (index + 1.0 - self._origin[0]) / self._nominal_rate
        late = (utc_ns - self._origin[1]) * 1e-9 - x
        if self._references.add(x, late, uncertainty, *self._host_slope()):
            self._combine()
            self._follow(max(x, self._x))

    def host_clock(self, uncertainty: float | None, frequency: float | None = None) -> None:
        """
        Take what the host's kernel knows of its UTC. Without it UTC is taken to follow a reference.

        Parameters
        ----------
        uncertainty : float or None
            Standard uncertainty [s]; None while it follows nothing.
        frequency : float or None
            How much faster than the steady clock UTC is made to run apart from slews [1]; None where that is not told.
        """
        self._host.describe(self._steady, uncertainty, frequency)

    def model(self) -> TimeModel:
        """
        Return what is known now.

        Raises
        ------
        RuntimeError
            When nothing has been observed yet.
        """
        if self._origin is None:
            raise RuntimeError("observe comes before model")
        first, first_ns, _ = self._origin
        stepped, self._stepped, self._handed_out = self._stepped, False, True
        late, uncertainty, referenced = self._target(self._x)
        rest = (self._x + self._late) * NANOSECONDS
        whole = math.floor(rest)
        index = first - 1 + round(self._x * self._nominal_rate)
        apart = (first - 1 - index) + self._x * self._nominal_rate  # 0 but for references, which lie anywhere
        interval = (1.0 + self._served + self._pull) / self._nominal_rate * NANOSECONDS
        return TimeModel(
            sample_rate=self._nominal_rate / (1.0 + self._served),
            rate_uncertainty=math.hypot(self._slope_uncertainty, self._slope - self._served),
            time_uncertainty=math.hypot(uncertainty, late - self._late),
            stepped=stepped,
            referenced=referenced,
            synchronised=referenced or self._host.followed,
            _index=index,
            _whole_ns=first_ns + whole,
            _rest_ns=rest - whole - apart * interval,
            _interval_ns=interval,
        )

    def _off_the_line(self, x: float, y: float) -> bool:
        """Tell whether a reading cannot belong to the samples before; begin a new line when that goes on."""
        off = y - self._envelope.line.at(x)
        self._early = self._early + 1 if off < -BREAK else 0
        if off <= BREAK:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = x
        late = self._late_since is not None and x - self._late_since > LATE_FOR
        if self._early < _EARLY_READINGS and not late:
            return self._early > 0
        self._early, self._late_since = 0, None
        self._host.wrong(self._steady, off)
        # What was learnt of the rate stays, with what a crystal may have changed in the meantime.
        self._prior = (self._slope, math.hypot(self._slope_uncertainty, self._drift * LATE_FOR), self._steady)
        self._envelope.clear()
        return False

    def _host_slope(self) -> tuple[float, float]:
        """Combine what the readings and the rate first told say of UTC over nominal time [1]."""
        line = self._envelope.line
        error = self._host.rate_error
        slope = (1.0 + line.slope) * (1.0 + error) - 1.0
        uncertainty = math.hypot(line.slope_uncertainty, self._host.rate_uncertainty(self._steady))
        prior, prior_uncertainty, since = self._prior
        prior_uncertainty = math.hypot(prior_uncertainty, self._drift * (self._steady - since))
        if math.isinf(uncertainty):
            return prior, prior_uncertainty
        share = prior_uncertainty**2 / (prior_uncertainty**2 + uncertainty**2)
        return prior + share * (slope - prior), uncertainty * math.sqrt(share)

    def _combine(self) -> None:
        self._slope, self._slope_uncertainty = self._host_slope()
        self._references.fit(self._slope, self._slope_uncertainty)
        if self._references and self._references.slope_uncertainty < self._slope_uncertainty:
            self._slope, self._slope_uncertainty = self._references.slope, self._references.slope_uncertainty

    def _target(self, x: float) -> tuple[float, float, bool]:
        """Return UTC less nominal time at a place, its uncertainty [s], and whether a reference tells it."""
        by_host = self._host_uncertainty(x)
        uncertainty = self._references.uncertainty(x)
        if uncertainty < by_host:
            return self._references.at(x), uncertainty, True
        return self._host_late(x), by_host, False

    def _host_late(self, x: float) -> float:
        return self._envelope.line.at(x) + self._host.offset - self._latency

    def _host_uncertainty(self, x: float) -> float:
        line = self._envelope.line
        slope_uncertainty = min(line.slope_uncertainty, self._slope_uncertainty)
        return math.hypot(
            line.height_uncertainty,
            slope_uncertainty * (x - line.middle),
            self._latency_uncertainty,
            self._host.time_uncertainty(self._steady),
        )

    def _follow(self, x: float) -> None:
        """Move what is served towards what is known."""
        elapsed = max(x - self._x, 0.0)
        self._late += (self._served + self._pull) * elapsed
        self._x = x
        late = self._target(x)[0] if self._references else self._host_late(x)
        off = late - self._late
        if not self._handed_out:  # nobody has seen any stamp yet
            likely = 3.0 * self._prior[1]  # after a moment only, readings may say anything
            self._late, off, self._served = late, 0.0, max(-likely, min(likely, self._slope))
        elif abs(off) > max(STEP, 3.0 * self._envelope.line.height_uncertainty):
            self._late, off, self._stepped = late, 0.0, True
        self._pull = max(-TIME_SLEW, min(TIME_SLEW, off / _TIME_TIME))
        apart = self._slope - self._served
        most = RATE_SLEW * min(elapsed, _AFTER_A_PAUSE)
        if abs(apart) < self._slope_uncertainty:
            most = min(most, abs(apart) * elapsed / _RATE_TIME)
        self._served += max(-most, min(most, apart))
