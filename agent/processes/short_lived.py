"""
The life of a process that is started for one thing, and ends: its bounds, and one question that it answers.

Where it stands: called first by the processes that the agent starts so that what they load and hold never comes into
its own memory: `agent.trust.verifier`, `agent.support`, and `fetch_process`, `image_fetch` and `image_payload` of
`agent.updates`. Question and answer are one JSON document each, on standard input and standard output.
"""

import resource
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from agent.processes.sandbox import die_with_parent

Question = TypeVar("Question")


def bound(*, memory: int, processor: int | None = None, longest_file: int | None = None) -> None:
    """
    Let this process end with its parent, and take no more than this; what it leaves behind is no memory dump.

    Parameters
    ----------
    memory : int
        Address space [bytes].
    processor : int, optional
        [s]
    longest_file : int, optional
        That it may write [bytes].
    """
    die_with_parent()
    for limit, value in (
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, longest_file),
        (resource.RLIMIT_CORE, 0),
    ):
        if value is not None:
            resource.setrlimit(limit, (value, value))


def answer_one(kind: type[Question], answer: Callable[[Question], msgspec.Struct]) -> None:
    """
    Answer the question on standard input.

    Parameters
    ----------
    kind : type
        Of the question.
    answer : callable
    """
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
    sys.stdout.buffer.write(msgspec.json.encode(answer(question)))
