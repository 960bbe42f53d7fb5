"""
One right algorithm, `Rms`, and others that each break exactly one rule of `check_algorithm`: `BROKEN` tells which.

They stand in a module of their own because an algorithm must be importable by name.
"""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from algorithms.api.algorithm import Algorithm
from algorithms.api.errors import CheckpointError, Problem, SettingsError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, Result, Severity
from algorithms.api.samples import SampleFlag
from algorithms.api.settings import Setting, problems_of, read_settings

INFO = AlgorithmInfo(
    name="rms",
    version="1.0.0",
    summary="RMS of the first channel, block by block.",
    consumes=(Kind.SAMPLES,),
    produces=(Kind.RESULT,),
    contents=("rms/1",),
    settings=(
        Setting("gain", "number", "Factor.", default=1.0, minimum=0.0, maximum=10.0),
        Setting("label", "text", "Name.", default=""),
    ),
    tick_interval=0.1,
    time_budget=1.0,
)


class Rms(Algorithm):
    """Right in everything; each class below breaks one rule."""

    info = INFO

    def start(self, context, restored):
        self.gain = read_settings(self.info.settings, self.settings)["gain"]
        self.terminal = context.terminal
        self.count = 0
        if restored:
            self.count = self.restore(restored)

    def restore(self, restored):
        try:
            count = json.loads(restored)["count"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CheckpointError(f"expected a count, found {error}") from error
        if not isinstance(count, int):
            raise CheckpointError("expected a whole number")
        return count

    def process(self, record):
        self.count += 1
        return [self.result(record, float(np.sqrt(np.mean(record.values[0] ** 2))) * self.gain)]

    def result(self, record, value):
        return Result("rms/1", self.terminal, record.time_ns, {"rms": value, "count": self.count})

    def checkpoint(self):
        return json.dumps({"count": self.count}).encode()


class BadInfo(Rms):
    info = AlgorithmInfo("rms", "one", "", (Kind.SAMPLES,), (Kind.RESULT,), ("rms/1",), INFO.settings, tick_interval=-1)


class WorkInConstructor(Rms):
    def __init__(self, settings):
        super().__init__(settings)
        self.label = settings.get("label", "")


class LookInConstructor(Rms):
    def __init__(self, settings):
        super().__init__(settings)
        self.made = time.time()


class ChokesInConstructor(Rms):
    def __init__(self, settings):
        super().__init__(settings)
        if isinstance(settings, dict) and None in settings.values():
            raise ValueError("no value")


class FirstProblemOnly(Rms):
    def start(self, context, restored):
        problems = problems_of(self.info.settings, self.settings)
        if problems:
            raise SettingsError(problems[:1])
        super().start(context, restored)


class AnotherError(Rms):
    def start(self, context, restored):
        unknown = set(self.settings) - {"gain", "label"}
        if unknown:
            raise SettingsError([Problem(f"settings.{name}", "no such thing", "it", "") for name in unknown])
        if not isinstance(self.settings.get("gain", 1.0), float):
            raise TypeError("gain")
        super().start(context, restored)


class IgnoresUnknown(Rms):
    def start(self, context, restored):
        known = {name: value for name, value in self.settings.items() if name in ("gain", "label")}
        self.settings = known
        super().start(context, restored)


class Crashes(Rms):
    def process(self, record):
        if record.first_index > 0:
            raise ZeroDivisionError("second block")
        return []


class ReturnsNothing(Rms):
    def process(self, record):
        super().process(record)


class Writes(Rms):
    def process(self, record):
        record.values[0] *= 2.0
        return super().process(record)


class Undeclared(Rms):
    def process(self, record):
        return [Event("dip", "t-1", record.time_ns, None, Severity.NOTICE)]


class UndeclaredContent(Rms):
    def result(self, record, value):
        return Result("energy/1", self.terminal, record.time_ns, {"rms": value})


class NoRecord(Rms):
    def process(self, record):
        super().process(record)
        return [{"rms": 1.0}]


class NotFinite(Rms):
    def result(self, record, value):
        return super().result(record, value * float("nan"))


class WrongType(Rms):
    def result(self, record, value):
        return Result("rms/1", 17, record.time_ns, {"rms": value})


class ReadsClock(Rms):
    def process(self, record):
        self.seen = time.monotonic()
        return super().process(record)


class ReadsDate(Rms):
    def tick(self, now_ns):
        self.seen = datetime.now(UTC)
        return super().tick(now_ns)


class Gambles(Rms):
    def result(self, record, value):
        return super().result(record, value + random.random())


class GamblesWithNumpy(Rms):
    def process(self, record):
        self.drawn = np.random.normal()  # noqa: NPY002 - the shared generator is the fault
        return super().process(record)


class LeavesAtOnce(Rms):
    def process(self, record):
        super().process(record)
        sys.exit(3)


class AsksSystem(Rms):
    def checkpoint(self):
        os.urandom(4)
        return super().checkpoint()


class OpensFile(Rms):
    def process(self, record):
        with Path(os.devnull).open() as stream:
            stream.read()
        return super().process(record)


class OpensSocket(Rms):
    def process(self, record):
        socket.socket().close()
        return super().process(record)


class StartsThread(Rms):
    def process(self, record):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        return super().process(record)


class StartsProcess(Rms):
    def process(self, record):
        if record.first_index == 0:
            subprocess.run([sys.executable, "-c", ""], check=True)
        return super().process(record)


class Shared(Rms):
    seen = 0

    def result(self, record, value):
        Shared.seen += 1
        return super().result(record, value + Shared.seen)


class FearsGaps(Rms):
    def process(self, record):
        if SampleFlag.LOST in record.flags:
            raise AssertionError("samples are missing")
        return super().process(record)


class FearsRates(Rms):
    def process(self, record):
        if record.sample_rate != 6400.0:
            raise AssertionError("another rate")
        return super().process(record)


class TextCheckpoint(Rms):
    def checkpoint(self):
        return "17"


class CannotGoOn(Rms):
    def restore(self, restored):
        super().restore(restored)
        raise CheckpointError("never")


class TrustsCheckpoint(Rms):
    def restore(self, restored):
        return json.loads(restored)["count"]


class StopsOnce(Rms):
    stopped = False

    def stop(self):
        if self.stopped:
            raise RuntimeError("already stopped")
        self.stopped = True


class Slow(Rms):
    info = AlgorithmInfo(
        "rms", "1.0.0", "Slow.", (Kind.SAMPLES,), (Kind.RESULT,), ("rms/1",), INFO.settings, time_budget=1e-9
    )


class NeedsNetwork(Rms):
    info = msgspec.structs.replace(INFO, needs_network=True)


BROKEN = (
    (BadInfo, "info"),
    (WorkInConstructor, "constructor"),
    (LookInConstructor, "constructor"),
    (ChokesInConstructor, "constructor"),
    (FirstProblemOnly, "settings"),
    (AnotherError, "settings"),
    (IgnoresUnknown, "unknown-setting"),
    (Crashes, "process"),
    (ReturnsNothing, "process"),
    (Writes, "input-untouched"),
    (Undeclared, "output-declared"),
    (UndeclaredContent, "output-declared"),
    (NoRecord, "output-declared"),
    (NotFinite, "output-values"),
    (WrongType, "output-values"),
    (ReadsClock, "isolation"),
    (ReadsDate, "isolation"),
    (Gambles, "isolation"),
    (GamblesWithNumpy, "isolation"),
    (LeavesAtOnce, "process"),
    (AsksSystem, "isolation"),
    (OpensFile, "isolation"),
    (OpensSocket, "isolation"),
    (StartsThread, "isolation"),
    (StartsProcess, "isolation"),
    (Shared, "same-output"),
    (FearsGaps, "gap"),
    (FearsRates, "rate-changed"),
    (TextCheckpoint, "checkpoint"),
    (CannotGoOn, "checkpoint"),
    (TrustsCheckpoint, "garbage-checkpoint"),
    (StopsOnce, "stop"),
    (Slow, "time-budget"),
)
