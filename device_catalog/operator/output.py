"""
What commands say: to standard output what was asked for, to standard error what goes with it.

Control characters from elsewhere never reach the terminal: a device's description must not move its cursor.
"""

import sys
from typing import Any

import msgspec

from device_catalog.operator.errors import OperatorError


def say(text: str = "") -> None:
    """Write a line of the answer."""
    sys.stdout.write(printable(text) + "\n")


def note(text: str) -> None:
    """Write a line beside the answer."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def say_json(document: Any) -> None:
    """Write the answer as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def say_error(error: OperatorError, *, as_json: bool) -> None:
    """Say what stops the command: the message, then every problem with its remedy."""
    if as_json:
        say_json({"error": str(error), "status": error.status, "problems": error.problems})
        return
    note(f"tresma: {error}")
    for problem in error.problems:
        note(f"  - {problem}")


def printable(text: str) -> str:
    r"""
    Replace control characters, tabs and line feeds excepted.

    >>> printable("a\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)
