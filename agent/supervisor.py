"""
When to start something again that died: the restart policy, stated once and kept as a small state machine.

A first failure waits about a second, each further one twice as long, up to a cap, with jitter so that a fleet does
not move in step. Who runs healthily for a while starts from the beginning. Who fails too often in a window is put in
quarantine, and stays there until its assignment changes or the quarantine ends. Nothing here reads a clock or draws
a number: both come in.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Where something supervised stands."""

    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    QUARANTINED = "quarantined"
    ENDED = "ended"
    """It came to its own end, as a recording does, and is not started again."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """
    How failures are answered.

    Attributes
    ----------
    first_delay : float
        After the first failure [s].
    longest_delay : float
        [s]
    healthy_after : float
        Running this long makes earlier failures forgotten [s].
    failures : int
        This many failures ...
    window : float
        ... within this time [s] ...
    quarantine : float
        ... stop it for this long [s]; 0 for never stopping it.
    """

    first_delay: float = 1.0
    longest_delay: float = 300.0
    healthy_after: float = 60.0
    failures: int = 5
    window: float = 600.0
    quarantine: float = 3600.0


SAMPLER_POLICY = RestartPolicy(longest_delay=30.0, quarantine=0.0)
"""A meter without samples is no meter: a board may come back at any time, so it is always tried again."""

ALGORITHM_POLICY = RestartPolicy()


@dataclass(slots=True)
class Restarts:
    """
    The failures of one supervised thing, and what follows from them.

    Examples
    --------
    >>> restarts = Restarts(RestartPolicy(failures=2))
    >>> restarts.failed(now=0.0, jitter=0.5)
    0.75
    >>> restarts.state
    <State.BACKOFF: 'backoff'>
    >>> restarts.failed(now=2.0, jitter=0.5)
    3600.0
    >>> restarts.state
    <State.QUARANTINED: 'quarantined'>
    """

    policy: RestartPolicy
    state: State = State.STARTING
    count: int = 0
    _recent: deque[float] = field(default_factory=deque)
    _row: int = 0
    _since: float = 0.0

    def started(self, now: float) -> None:
        """Note that it runs, at monotonic time `now` [s]."""
        self.state = State.RUNNING
        self._since = now

    def failed(self, now: float, jitter: float) -> float:
        """
        Note a failure.

        Parameters
        ----------
        now : float
            Monotonic time [s].
        jitter : float
            Uniform in [0, 1).

        Returns
        -------
        float
            After how long it may be started again [s].
        """
        policy = self.policy
        if self.state is State.RUNNING and now - self._since >= policy.healthy_after:
            self._row = 0
        self.count += 1
        self._row += 1
        self._recent.append(now)
        while self._recent and self._recent[0] < now - policy.window:
            self._recent.popleft()
        if policy.quarantine and len(self._recent) >= policy.failures:
            self.state = State.QUARANTINED
            self._recent.clear()
            self._row = 0
            return policy.quarantine
        self.state = State.BACKOFF
        delay = min(policy.first_delay * 2.0 ** min(self._row - 1, 30), policy.longest_delay)
        return delay * (0.5 + jitter / 2)
