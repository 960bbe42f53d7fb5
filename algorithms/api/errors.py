"""
What can go wrong between an agent and its algorithms.

Two kinds are never mixed. Wrong use of this package (a bug) is a `ValueError` or `RuntimeError`. The world's
faults are one family::

    AlgorithmError
    |-- SettingsError     the settings cannot be used; carries every problem found
    |-- NetworkError      the network document cannot be used; carries every problem found
    |-- ManifestError     an algorithm's manifest cannot be used; carries every problem found
    |-- CheckpointError   a checkpoint cannot be read back
    `-- WireError         bytes from elsewhere are no record

Problems with input are values (`Problem`): all are collected, then reported together.
"""

from collections.abc import Iterable

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """
    One thing wrong with a document: where, what was expected, what was found, what to do.

    Attributes
    ----------
    where : str
        Path inside the document, such as ``algorithms[0].settings.window``.
    expected : str
        What would have been right.
    found : str
        What was there, shortened.
    remedy : str
        What to do about it; empty where `expected` says it all.

    Examples
    --------
    >>> print(Problem("acquisition.sample_rate", "a number above 0 [Hz]", "-5", "state the rate in hertz"))
    acquisition.sample_rate: expected a number above 0 [Hz], found -5; state the rate in hertz
    """

    where: str
    expected: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.where}: expected {self.expected}, found {self.found}{remedy}"


def printable(text: str) -> str:
    r"""
    Replace what a terminal would obey instead of show; ends of lines and tabs stay.

    >>> printable("a\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


def shortened(value: object, limit: int = 80) -> str:
    """Write `value` for a message, in at most `limit` characters, however large it is."""
    text = value if isinstance(value, str) else repr(value)
    text = printable(" ".join(text[: 4 * limit].split()))
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


class AlgorithmError(Exception):
    """Base of what the world, not a bug of ours, does to an algorithm."""


class ProblemsError(AlgorithmError):
    """A document is refused whole, with every problem found in it; the message tells the first twenty."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        if not self.problems:
            raise ValueError("a refusal names at least one problem")
        told = [str(problem) for problem in self.problems[:20]]
        more = len(self.problems) - len(told)
        super().__init__("; ".join([*told, f"and {more} more"] if more else told))

    def __reduce__(self) -> tuple[type["ProblemsError"], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class SettingsError(ProblemsError):
    """An algorithm's settings cannot be used."""


class NetworkError(ProblemsError):
    """A network document cannot be used."""


class ManifestError(ProblemsError):
    """An algorithm's manifest cannot be used."""


class CheckpointError(AlgorithmError):
    """A checkpoint cannot be read back; the algorithm can start without it."""


class WireError(AlgorithmError):
    """Bytes from elsewhere are no record: too long, no JSON, an unknown schema or a wrong field."""
