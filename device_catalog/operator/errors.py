"""
What stops a command: each message says what was expected, what was found and what to do.

::

    OperatorError         exit status 1: the catalog, a broker or the operator's input stands in the way
    |-- Answered          exit status 1: the answer was written already, and it is no
    `-- UsageError        exit status 2: the command line or a file cannot be understood
"""

from collections.abc import Iterable

from algorithms.api.errors import Problem


class OperatorError(Exception):
    """
    A command cannot do what was asked.

    Attributes
    ----------
    problems : tuple of Problem
        Every problem found, where it is about a document.
    status : int
        HTTP status of the catalog's answer; 0 where there was none.
    """

    exit_status = 1

    def __init__(self, message: str, problems: Iterable[Problem] = (), status: int = 0) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
        self.status = status


class UsageError(OperatorError):
    """The command line or a file cannot be understood; nothing was asked of anybody."""

    exit_status = 2


class Answered(OperatorError):  # noqa: N818 - the name says what happened
    """The answer was written already as one JSON object, and it is no; nothing more is said."""


class CatalogAway(OperatorError):  # noqa: N818 - the name says what happened
    """The catalog gave no answer, or one that says to come back: it may be there in a moment."""
