"""
Looking at this machine without changing it: files that may be anything, and programs that may hang.

Where it stands: used by `gathering` and `machine`. Every look is bounded in size and time, follows no link that
somebody else may have put there, and ends in content or in one sentence (`Missing`).
"""

import os
import stat
import subprocess
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from agent.support.bundle import Missing
from algorithms.api.errors import shortened

LONGEST_WAIT = 15.0
"""How long a program may take [s]."""

MOST = 2 * 1024 * 1024
"""Most that is read of anything [bytes]."""


def content_of(path: Path, most: int = MOST, *, tail: bool = False) -> bytes:
    """
    Read a plain file.

    Parameters
    ----------
    path : pathlib.Path
    most : int
        [bytes]
    tail : bool
        Whether the end of a longer file is meant; else a longer one is refused.

    Raises
    ------
    Missing
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Missing(f"expected {path}, found: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Missing(f"expected a file at {path}, found something else")
            if tail and status.st_size > most:
                file.seek(status.st_size - most)
                file.readline()
            content = file.read(most + 1)
        except OSError as error:
            raise Missing(f"expected {path} to be readable, found: {error.strerror}") from error
    if len(content) > most and not tail:
        raise Missing(f"expected at most {most} bytes in {path}, found more")
    return content[:most]


def sealed_content_of(path: Path, most: int = MOST) -> bytes:
    """
    Read a file that begins with its checksum (`agent.store`).

    Raises
    ------
    Missing
    """
    head, _, content = content_of(path, most).partition(b"\n")
    if head != b"tresma 1 %08x" % zlib.crc32(content):
        raise Missing(f"expected {path} with its checksum, found it damaged")
    return content


def said_by(command: Sequence[str], most: int = MOST, patience: float = LONGEST_WAIT) -> str:
    """
    Run a program and return what it says; of more than `most` bytes the last.

    Raises
    ------
    Missing
        When it is not there, fails, or takes too long.
    """
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    try:
        process = subprocess.Popen(  # noqa: S603 - fixed commands of this room
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
    except OSError as error:
        raise Missing(f"expected the program {command[0]}, found: {error.strerror}") from error
    late = threading.Timer(patience, process.kill)
    words: list[bytes] = []
    complaint = threading.Thread(target=lambda: words.append((process.stderr and process.stderr.read(4096)) or b""))
    late.start()
    complaint.start()
    with process:
        said = bytearray()
        while process.stdout is not None and (part := process.stdout.read(64 * 1024)):
            said += part
            del said[: max(0, len(said) - most)]
        complaint.join(1.0)
        if process.stderr is not None:
            process.stderr.close()
        status = process.wait()
    in_time = late.is_alive()
    late.cancel()
    if not in_time:
        raise Missing(f"expected {command[0]} to answer within {patience:g} s, found it slower")
    if status != 0 and not said:
        reason = shortened(b"".join(words).decode(errors="replace"), 200) or f"exit status {status}"
        raise Missing(f"expected {command[0]} to answer, found: {reason}")
    return said.decode(errors="replace")
