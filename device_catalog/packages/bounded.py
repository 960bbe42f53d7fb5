"""
Running foreign code in a process of its own from the operator's terminal: bounded in time and output, ended as a group.

What the process may use it limits itself, before it imports what it was given.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

_MOST_ANSWER = 2**20
_MOST_WORDS = 500


class Ended(NamedTuple):
    """
    What a process left.

    Attributes
    ----------
    status : int or None
        None where its time was over.
    answer : bytes
        Its standard output.
    words : str
        The last line it complained with, or its exit status.
    """

    status: int | None
    answer: bytes
    words: str


def run_bounded(command: Sequence[str], asked: bytes, timeout: float) -> Ended:
    """
    Run a command with `asked` on its standard input, for at most `timeout` [s].

    It and all it started are killed at the end, also where it ends by itself.
    """
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with (
        tempfile.TemporaryFile() as question,
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryFile() as complained,
    ):
        question.write(asked)
        question.seek(0)
        status: int | None = None
        with subprocess.Popen(  # noqa: S603 - our own interpreter
            command, stdin=question, stdout=said, stderr=complained, env=environment, start_new_session=True
        ) as process:
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        said.seek(0)
        answer = said.read(_MOST_ANSWER)
        complained.seek(max(0, complained.seek(0, os.SEEK_END) - _MOST_WORDS))
        lines = complained.read().decode(errors="replace").strip().splitlines()
    return Ended(status, answer, lines[-1] if lines else f"exit status {status}")
