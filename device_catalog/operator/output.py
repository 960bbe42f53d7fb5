"""
What commands say: to standard output what was asked for, to standard error what goes with it.

Control characters from elsewhere never reach the terminal: a device's description must not move its cursor. Nor is any
text taken for orders of how to draw it: what stands in [brackets], or between colons, is what somebody wrote there.
"""

import sys
from typing import Any

import msgspec
from rich.console import Console

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


def drawing(width: int = 500, *, on_errors: bool = False, **more: Any) -> Console:
    """
    Make what tables and pictures are drawn with: as wide as the terminal; where there is none, without colours.

    Parameters
    ----------
    width : int
        Where there is no terminal, as wide as it takes.
    on_errors : bool
        Whether it is drawn on standard error.
    **more
        Options of `rich.console.Console`.
    """
    stream = sys.stderr if on_errors else sys.stdout
    plain = {} if stream.isatty() else {"width": width, "no_color": True}
    return Console(stderr=on_errors, markup=False, emoji=False, **{**plain, **more})


def printable(text: str) -> str:
    r"""
    Replace control characters, tabs and line feeds excepted.

    >>> printable("a\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)
