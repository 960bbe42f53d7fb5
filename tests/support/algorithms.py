"""Algorithms for tests of the process layer: one that watches every sample, and others that misbehave."""

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, Record, Result, Severity
from algorithms.api.samples import SampleBlock
from algorithms.api.settings import Setting, read_settings


def info(name: str, **changes: Any) -> AlgorithmInfo:
    fields: dict[str, Any] = {
        "version": "1.0.0",
        "summary": "For tests.",
        "consumes": (Kind.SAMPLES,),
        "produces": (Kind.RESULT,),
        "contents": ("test/1",),
        **changes,
    }
    return AlgorithmInfo(name=name, **fields)


def result(payload: dict[str, Any], time_ns: int = 0) -> Result:
    return Result("test/1", "T1", time_ns, payload)


class Watcher(Algorithm):
    """Says for each block where it begins and ends, and whether every sample is what the source counted."""

    info = info("watcher", checkpoint_interval=0.2)

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        if restored == b"garbage":
            raise CheckpointError("no state of mine")
        self.total = int(restored or b"0")

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        self.total += 1
        block = record
        steps = (block.values[:, 1:] - block.values[:, :-1]) % 4096
        payload = {
            "first": block.first_index,
            "end": block.end_index,
            "flags": int(block.flags),
            "right": bool((steps == 1).all() and (block.values[0] == block.values[-1]).all()),
            "blocks": self.total,
        }
        return [result(payload, block.time_ns)]

    def checkpoint(self) -> bytes:
        return str(self.total).encode()


class Teller(Watcher):
    """Tells every fifth block what it has counted, and must never go back behind that."""

    info = info("teller", checkpoint_interval=60.0)

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:  # noqa: ARG002
        self.total += 1
        return [msgspec.structs.replace(result({"blocks": self.total}), urgent=True)] if self.total % 5 == 0 else []


class Historian(Watcher):
    """Wants a second of history."""

    info = info("historian", history=1.0)


class Echo(Algorithm):
    """Answers each event with another; knows no samples; ticks by the clock."""

    info = info(
        "echo", consumes=(Kind.EVENT,), produces=(Kind.EVENT, Kind.RESULT), contents=("test/1",), tick_interval=0.1
    )

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        self.device = context.device

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        return [Event(f"echo-{record.kind}", self.device, record.start_ns, None, Severity.NOTICE)]

    def tick(self, now_ns: int) -> Sequence[Record]:
        return [result({"tick": now_ns})]


class Asker(Algorithm):
    """Wants its state kept whenever it hears of something."""

    info = info("asker", consumes=(Kind.EVENT,), checkpoint_interval=3600.0)

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        self.heard = restored or b""

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        self.heard += record.kind.encode()
        self.keep_now = True
        return [result({"heard": self.heard.decode()})]

    def checkpoint(self) -> bytes:
        return self.heard


class Misbehaving(Algorithm):
    """After `after` blocks does what `how` says, once or for ever."""

    info = info(
        "misbehaving",
        settings=(
            Setting("how", "text", "What it does."),
            Setting("after", "integer", "After how many blocks.", default=5, minimum=0),
        ),
    )

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        settings = read_settings(self.info.settings, self.settings)
        self.how, self.after = settings["how"], settings["after"]
        self.blocks = 0
        self.kept: list[bytearray] = []
        if self.after == 0:
            getattr(self, self.how)()

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:  # noqa: ARG002
        self.blocks += 1
        if self.blocks < self.after:
            return []
        return getattr(self, self.how)() or []

    def crash(self) -> None:
        raise ZeroDivisionError("a bug in this algorithm")

    def shout(self) -> None:
        raise ValueError("\x1b[2J\x1b]0;title\x07red")

    def abort(self) -> None:
        os.abort()

    def leave(self) -> None:
        os._exit(3)

    def hang(self) -> None:
        while True:
            time.sleep(1.0)

    def spin(self) -> None:
        time.sleep(0)
        until = time.thread_time() + 0.019
        while time.thread_time() < until:
            pass

    def garble(self) -> None:
        """Write to every socket it finds what is no message."""
        for fd in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    os.write(fd, b"\xff" * 100)
            except OSError:
                continue

    def flood(self) -> list[Record]:
        return [result({"flood": "x" * 200})] * 2000

    def oversize(self) -> list[Record]:
        return [result({"large": "x" * 5000}), result({"small": 1})]

    def leak(self) -> None:
        while True:
            self.kept.append(bytearray(b"x" * (1 << 20)))

    def undeclared(self) -> list[Record]:
        return [Event("surprise", "T1", 0, None, Severity.NOTICE)]

    def nonsense(self) -> list[Any]:
        return ["no record"]

    def socket(self) -> None:
        import socket

        socket.socket()

    def read_passwd(self) -> list[Record]:
        return [result({"found": Path("/etc/passwd").read_text()})]
