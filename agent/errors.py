"""
What the world does to an agent.

::

    AgentError
    |-- ConfigError      the agent's own few lines cannot be used; carries every problem
    |-- CatalogError     the catalog cannot be asked; says whether it makes sense to ask again soon
    |-- SpoolError       the outbox's file cannot be used
    |-- SlotError        a root slot cannot be written or chosen; says whether that may pass by itself
    |-- TrustError       an algorithm from elsewhere is not taken: not believed, not whole, or out of reach
    `-- WorkerError      a sampler or algorithm process could not be started, or died
        |-- SourceAway          the source is not there now, and may come back by itself
        `-- AlgorithmRefused    an algorithm refuses its settings; carries every problem
"""

from collections.abc import Iterable

from algorithms.api.errors import Problem


class AgentError(Exception):
    """Base of what the world does to an agent."""


class ConfigError(AgentError):
    """The agent's own configuration cannot be used."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class CatalogError(AgentError):
    """
    The catalog could not be asked, or said no.

    Attributes
    ----------
    retry_after : float or None
        When the catalog said to come back [s].
    status : int
        HTTP status of its answer; 0 where there was none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, status: int = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class SpoolError(AgentError):
    """The outbox's file cannot be used."""


class SlotError(AgentError):
    """
    A root slot cannot be written, or chosen to boot.

    Attributes
    ----------
    passing : bool
        Whether that may pass by itself.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class TrustError(AgentError):
    """
    An algorithm from elsewhere is not taken; the message says why in one sentence, and nothing was changed by it.

    Attributes
    ----------
    passing : bool
        Whether that may pass by itself, as a network that is away does.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class WorkerError(AgentError):
    """
    A sampler or algorithm process could not be started, or died.

    Attributes
    ----------
    traceback : str
        Where its code raised; empty otherwise.
    """

    def __init__(self, message: str = "", *, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class SourceAway(WorkerError):  # noqa: N818 - the name says what happened
    """The source is not there now, and may come back by itself: unplugged, or held by somebody else."""


class AlgorithmRefused(WorkerError):  # noqa: N818 - the name says what happened
    """
    An algorithm refuses its settings.

    Attributes
    ----------
    needs_network : bool
        Whether it needs a network; what it refuses may be that there is none.
    """

    def __init__(self, problems: Iterable[Problem], *, needs_network: bool = False) -> None:
        self.problems = tuple(problems)
        self.needs_network = needs_network
        super().__init__("; ".join(str(problem) for problem in self.problems))
