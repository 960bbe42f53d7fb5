"""Types of arguments that several commands of ``tresma`` take: what is not one is refused in a sentence by argparse."""

import argparse
from collections.abc import Callable


def seconds(text: str) -> float:
    """
    Read a length of time [s].

    Raises
    ------
    argparse.ArgumentTypeError
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, 0 or more, found {text}")
    return value


def count_up_to(most: int) -> Callable[[str], int]:
    """
    Make what reads a number from 1 to `most`.

    >>> count_up_to(50)("17")
    17
    """

    def count(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
            raise argparse.ArgumentTypeError(f"expected a number from 1 to {most}, found {text}")
        return int(text)

    return count
