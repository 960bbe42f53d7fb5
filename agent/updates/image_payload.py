"""
The short-lived process that downloads an image's payload: question on standard input, answer on standard output.

Where it stands: started by `image_fetches`, which may end it at any time. What is there from before is judged piece by
piece, and the rest is asked for from where that ends, so a cut costs the piece that was under way. Each piece is judged
as soon as it is whole: a server that sends something else is found out after one.

Rules: no faster than the configuration says; each part of it within a time; no more than is signed; nothing redirected.
"""

import contextlib
import hashlib
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import requests

from agent.errors import TrustError
from agent.processes.short_lived import answer_one, bound
from agent.updates.image_messages import PayloadAnswer, PayloadQuestion
from algorithms.api.errors import shortened
from device_catalog.contract.images import MAXIMUM_PAYLOAD, Piece, payload_path, read_manifest
from device_catalog.contract.trust import TARGETS

PART = 64 * 1024
PATIENCE = 60.0
"""Each part must come within this [s]."""
CONNECT = 10.0
TOGETHER = 4
"""Pieces that are made durable together."""
_MEMORY = 512 * 2**20


def download(question: PayloadQuestion) -> None:
    """
    Download a payload, or the rest of one.

    Raises
    ------
    TrustError
        When it is not there; what came so far stays.
    """
    manifest = read_manifest(Path(question.manifest).read_bytes())
    url = f"{question.repository.rstrip('/')}{TARGETS}/{payload_path(manifest)}"
    with Path(question.path).open("r+b" if Path(question.path).exists() else "w+b") as file:
        known = _known(file, manifest.pieces)
        if known < len(manifest.pieces):
            offset = sum(piece.length for piece in manifest.pieces[:known])
            with contextlib.closing(_parts(url, offset, question)) as parts:
                _store(file, manifest.pieces[known:], parts)
        file.flush()
        os.fsync(file.fileno())


def _known(file: BinaryIO, pieces: tuple[Piece, ...]) -> int:
    """Count the pieces that are there, and cut off what is not one; the file stands where they end."""
    good = 0
    for number, piece in enumerate(pieces):
        data = file.read(piece.length)
        if len(data) != piece.length or hashlib.sha256(data).hexdigest() != piece.sha256:
            file.seek(good)
            file.truncate()
            return number
        good += piece.length
    file.truncate(good)
    return len(pieces)


def _store(file: BinaryIO, pieces: tuple[Piece, ...], parts: Iterator[bytes]) -> None:
    rest = b""
    for number, piece in enumerate(pieces):
        data = bytearray(rest)
        while len(data) < piece.length:
            part = next(parts, b"")
            if not part:
                raise TrustError("expected the whole payload, found that it ended early", passing=True)
            data += part
        rest = bytes(data[piece.length :])
        content = bytes(data[: piece.length])
        if hashlib.sha256(content).hexdigest() != piece.sha256:
            raise TrustError("expected a payload as it is signed, found other bytes", passing=True)
        file.write(content)
        if number % TOGETHER == TOGETHER - 1:
            file.flush()
            os.fsync(file.fileno())


def _parts(url: str, offset: int, question: PayloadQuestion) -> Generator[bytes, None, None]:
    """Ask for what is missing, at no more than the rate that is allowed."""
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
    begin, came, skip = time.monotonic(), 0, 0
    signal.signal(signal.SIGALRM, _too_slow)
    try:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        with requests.get(
            url,
            headers=headers,
            timeout=(CONNECT, PATIENCE),
            stream=True,
            allow_redirects=False,
            verify=question.ca or True,
        ) as answer:
            if answer.status_code == requests.codes.ok:
                skip = offset  # a server that knows no ranges sends everything
            elif answer.status_code != requests.codes.partial_content:
                raise TrustError(f"expected the payload at {url}, found status {answer.status_code}", passing=True)
            for part in answer.iter_content(PART):
                came += len(part)
                signal.setitimer(signal.ITIMER_REAL, 0)
                yield part[max(0, min(len(part), skip - came + len(part))) :]
                time.sleep(max(0.0, begin + came / question.rate - time.monotonic()))
                signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    except (requests.RequestException, OSError) as error:
        found = shortened(str(error), 200)
        raise TrustError(f"expected a repository that can be reached, found: {found}", passing=True) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise TrustError("expected the payload to come in time, found it slower", passing=True)


def answer(question: PayloadQuestion) -> PayloadAnswer:
    """Download it; every way to fail is an answer."""
    try:
        download(question)
    except TrustError as error:
        return PayloadAnswer(str(error), error.passing)
    except OSError as error:
        found = error.strerror or str(error)
        return PayloadAnswer(f"expected room for the payload, found: {found}", passing=True)
    return PayloadAnswer()


def main() -> int:
    """Answer one question."""
    bound(memory=_MEMORY, longest_file=MAXIMUM_PAYLOAD)
    answer_one(PayloadQuestion, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
