"""
One question to a short-lived process, and whatever it answers: the asking side of `short_lived` that waits.

Where it stands: called where a thread may wait, or before anything runs (`agent.identity`, `agent.commissioning`,
`agent.provisioning`); who must not wait asks in ways of its own (`agent.updates.fetches`). What an answer that does not
come means is the caller's to say.
"""

import subprocess
import sys
from typing import Any

import msgspec


def ask_process(
    module: str, question: msgspec.Struct, timeout: float, **who: Any
) -> "subprocess.CompletedProcess[bytes]":
    """
    Start a module as a program, and wait for its end.

    Parameters
    ----------
    module : str
        Which answers one JSON document on standard input by one on standard output.
    question : msgspec.Struct
    timeout : float
        How long it may take [s]; it is killed then.
    **who
        As whom it runs, where that is another user: of `subprocess.run`.

    Raises
    ------
    subprocess.TimeoutExpired
    OSError
        When it cannot be started.
    """
    return subprocess.run(  # noqa: S603 - a module of this program
        [sys.executable, "-m", module],
        input=msgspec.json.encode(question),
        capture_output=True,
        timeout=timeout,
        check=False,
        **who,
    )
