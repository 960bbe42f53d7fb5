"""
The trial of an algorithm before it is let in: the conformance test, then runs over recordings, in a process of its own.

Where it stands: `tresma algorithm check` finds this module by the entry-point group ``tresma.trials`` and runs it with
a question on standard input; the answer is one JSON object on standard output. Everything is read and every limit is
set before the algorithm is imported; what it prints goes to standard error.

An algorithm that does not consume samples is given the frames and events that `phasors` and `fault_detection` make of
them, or the messages of a file (``.jsonl``, as `tresma watch --json --all` and `tresma-agent replay` write them).
"""

import os
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from agent.processes.algorithm_calls import AlgorithmCalls
from agent.processes.loading import load_algorithm
from agent.processes.sampling import open_source, source_request
from algorithms.api import wire
from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.conformance_report import Finding
from algorithms.api.conformance_runs import drive, kind_of_input
from algorithms.api.errors import AlgorithmError, shortened
from algorithms.api.network_reader import parse
from algorithms.api.records import Kind, Record
from algorithms.api.samples import SampleBlock
from device_catalog.contract.documents import Acquisition
from hardware.errors import SourceError
from hardware.source import EndOfRecording, WaveformSource

SIMULATED = 2.0
"""How much of a simulated connection is run where no recording is named [s]."""
CONFORMANCE = 60
"""So many records of each kind go into the conformance test, which runs them many times."""

_PROCESSOR = 300
_ROOM = 512 * 2**20
_OUTPUT = 2**20

Input = SampleBlock | Record


class Question(msgspec.Struct, frozen=True):
    """What to try: a class in a folder, with settings, over recordings, on a network, within a memory [bytes]."""

    folder: str
    entry: str
    memory: int
    settings: dict[str, Any] = {}
    recordings: tuple[str, ...] = ()
    network: str = ""


class Run(msgspec.Struct, frozen=True):
    """
    What came of one recording.

    Attributes
    ----------
    name : str
    records : int
        That it took.
    results : dict
        How many it returned, by kind.
    median, late, slowest : float
        Processor time of a call: half are shorter, 99 of 100 are shorter, none is longer [s].
    memory : int
        By how much the process grew [bytes].
    """

    name: str
    records: int
    results: dict[str, int]
    median: float
    late: float
    slowest: float
    memory: int


class Answer(msgspec.Struct, frozen=True):
    """The findings and runs, or the one problem that kept them from being made."""

    problem: str = ""
    findings: tuple[Finding, ...] = ()
    runs: tuple[Run, ...] = ()


def answer(question: Question) -> Answer:
    """Try the algorithm."""
    try:
        network = parse(Path(question.network).read_bytes()) if question.network else None
        played = [_read(Path(name)) for name in question.recordings] or [_played("simulated", _simulated())]
    except (AlgorithmError, SourceError, OSError, ValueError) as error:
        return Answer(shortened(str(error), 500))
    _limit(question.memory)
    sys.path.insert(0, question.folder)
    before = _memory()
    runs: list[Run] = []
    name = question.entry
    try:
        algorithm = load_algorithm(question.entry)
        for one in played:
            name, context = one.name, replace(one.context, network=network)
            runs.append(_run(one, algorithm, question.settings, context, before))
        few = [record for one in played[:1] for record in _few(one.records)]
        context = replace(played[0].context, network=network)
        report = check_algorithm(algorithm, settings=question.settings, context=context, records=few)
    except MemoryError:
        found = f"expected at most {question.memory} bytes beside what Python needs, found that it asked for more"
        return Answer(f"{name}: {found}", (), tuple(runs))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a foreign algorithm raises is an answer
        kind = "" if isinstance(error, ValueError | ImportError | TypeError) else f"{type(error).__name__}: "
        return Answer(f"{name}: {kind}{shortened(str(error), 400)}", (), tuple(runs))
    return Answer("", report.findings, tuple(runs))


@dataclass(frozen=True, slots=True)
class _Played:
    name: str
    context: Context
    records: list[Input]


def _simulated() -> Acquisition:
    options = {"pace": "as-fast-as-possible", "duration": SIMULATED}
    return Acquisition("simulated", 6400.0, options, block_duration=0.02)


def _read(path: Path) -> _Played:
    if path.suffix == ".jsonl":
        with path.open("rb") as file:
            records: list[Input] = [wire.decode(line)[1] for line in file if line.strip()]
        return _Played(path.name, Context(device="trial", terminal="trial"), records)
    return _played(path.name, Acquisition("recorded", 1.0, {"path": str(path), "pace": "as-fast-as-possible"}))


def _played(name: str, acquisition: Acquisition) -> _Played:
    """Take the samples of a source, and the frames and events that the own algorithms make of them."""
    source = open_source(acquisition.driver, acquisition.options)
    plan = source.start(source_request(acquisition))
    context = Context("trial", "trial", channels=plan.channels, sample_rate=plan.sample_rate, synchronised=True)
    makers = [AlgorithmCalls(load_algorithm("phasors"), {}), AlgorithmCalls(load_algorithm("fault_detection"), {})]
    for maker in makers:
        maker.start(context, None)
    records: list[Input] = []
    try:
        for block in _blocks(source):
            records.append(block)
            for maker in makers:
                records.extend(maker.process(block))
    finally:
        source.stop()
    return _Played(name, context, records)


def _blocks(source: WaveformSource) -> Iterator[SampleBlock]:
    while True:
        try:
            block = source.read(10.0)
        except EndOfRecording:
            return
        if block is not None:
            yield block


def _few(records: list[Input]) -> list[Input]:
    counts: Counter[Kind] = Counter()
    few = []
    for record in records:
        kind = kind_of_input(record)
        counts[kind] += 1
        if counts[kind] <= CONFORMANCE:
            few.append(record)
    return few


def _run(played: _Played, algorithm: type[Algorithm], settings: dict[str, Any], context: Context, before: int) -> Run:
    records = [record for record in played.records if kind_of_input(record) in algorithm.info.consumes]
    times: list[float] = []
    outputs = drive(algorithm, settings, context, records, times=times, clock=time.process_time)
    late = statistics.quantiles(times, n=100, method="inclusive")[98] if len(times) > 1 else sum(times)
    kinds = Counter(str(kind_of_input(output)) for output in outputs)
    median = statistics.median(times) if times else 0.0
    return Run(
        played.name, len(records), dict(kinds), median, late, max(times, default=0.0), max(0, _memory() - before)
    )


def _limit(memory: int) -> None:
    for limit, value in (
        (resource.RLIMIT_CPU, _PROCESSOR),
        (resource.RLIMIT_DATA, _data() + memory + _ROOM),
        (resource.RLIMIT_FSIZE, _OUTPUT),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def _data() -> int:
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def _memory() -> int:
    """Tell how much memory is this process's own [bytes]."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> int:
    """Answer one question."""
    out = os.dup(1)
    os.dup2(2, 1)  # what the algorithm prints is not the answer
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    said = msgspec.json.encode(answer(question))
    with os.fdopen(out, "wb") as file:
        file.write(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
