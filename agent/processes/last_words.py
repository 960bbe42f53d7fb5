"""
What an algorithm's process says last when it cannot go on: one sentence on what was raised, and where.

Where it stands: beside `algorithm_host` and `algorithm_loop`, whose own lines are never the place that is named while
there is one in the algorithm's file.
"""

import os
import traceback
from contextlib import suppress

from agent.processes.algorithm_messages import AlgorithmFailed

TRACEBACK = 4000
"""Of a traceback the end is kept [characters]."""

_HOSTS = tuple(
    os.path.join(os.path.dirname(__file__), name)  # noqa: PTH118, PTH120 - as a frame names them
    for name in ("algorithm_host.py", "algorithm_loop.py")
)


def failure(error: BaseException) -> AlgorithmFailed:
    """Say what was raised, and where in the algorithm's own file."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename not in _HOSTS] or frames
    where = f" ({os.path.basename(own[-1].filename)}:{own[-1].lineno})" if own else ""  # noqa: PTH119 - only text
    text = " ".join(str(error)[:2000].split()) or "without a message"
    with suppress(Exception):  # the last words must not fail for want of memory
        trace = "".join(traceback.format_exception(error, limit=-8))[-TRACEBACK:]
        return AlgorithmFailed(f"{type(error).__name__}: {text}{where}", trace)
    return AlgorithmFailed(f"{type(error).__name__}: {text}{where}", "")
