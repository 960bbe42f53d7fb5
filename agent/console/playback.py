"""
A recording through the assigned algorithms, as fast as the processor allows.

No process, broker or clock takes part: samples and records pass from hand to hand in one thread, ticks follow the
recording's own time, and messages are numbered from 1 under boot 0, so the same file gives the same bytes every time.
What comes out are the messages a meter would have published, one JSON object a line.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.errors import AlgorithmRefused
from agent.pipeline import Pipeline, cycles
from agent.processes.algorithm_calls import AlgorithmCalls
from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import Problem, SettingsError
from algorithms.api.records import Kind, Record
from algorithms.api.samples import NANOSECONDS, SampleBlock
from algorithms.api.wire import Header, encode
from device_catalog.contract.documents import Assignment
from hardware.source import EndOfRecording, SourceRequest, WaveformSource

PATIENCE = 10.0
"""How long a recording may take to give its next block [s]."""
SILENCE_NS = 10 * NANOSECONDS
"""After a recording time goes on by this much without samples, so that what was under way can be finished [ns]."""


@dataclass(frozen=True, slots=True)
class Replay:
    """
    What is replayed, through what.

    Attributes
    ----------
    device, terminal, tenant : str
        What the messages and the algorithms are told.
    algorithms : mapping
        Each assigned algorithm's class, by name.
    assignments : mapping
        What is assigned, by the same names.
    """

    device: str
    terminal: str
    tenant: str
    algorithms: Mapping[str, type[Algorithm]]
    assignments: Mapping[str, Assignment]

    def run(
        self, source: WaveformSource, request: SourceRequest, on_block: Callable[[SampleBlock], None] | None = None
    ) -> Iterator[bytes]:
        """
        Replay `source`; `on_block` sees each block before the algorithms do.

        Yields
        ------
        bytes
            One message a line, without the end of line.

        Raises
        ------
        hardware.errors.SourceError
            When the recording cannot be read.
        AlgorithmRefused
            With every problem of the algorithms' settings.
        """
        infos = {name: algorithm.info for name, algorithm in self.algorithms.items()}
        problems = cycles(infos)
        if problems:
            raise AlgorithmRefused(problems)
        pipeline = Pipeline(self.tenant, self.device, infos, self.assignments)
        plan = source.start(request)
        try:
            context = Context(
                device=self.device,
                terminal=self.terminal,
                nominal_frequency=request.nominal_frequency,
                nominal_voltage=request.nominal_voltage,
                channels=plan.channels,
                sample_rate=plan.sample_rate,
            )
            running = self._started(context)
            number = 0
            on_topic: dict[str, int] = {}
            for now_ns, made in _made(source, running, on_block):
                for maker, record in _through(running, pipeline, made):
                    publication = pipeline.publication(maker, record)
                    if publication is not None:
                        number += 1
                        before = on_topic.get(publication.topic, 0)
                        on_topic[publication.topic] = number
                        yield encode(record, Header(self.device, 0, 0, number, now_ns, before))
            for calls in running.values():
                calls.stop()
        finally:
            source.stop()

    def _started(self, context: Context) -> dict[str, AlgorithmCalls]:
        running: dict[str, AlgorithmCalls] = {}
        problems: list[Problem] = []
        for name, algorithm in self.algorithms.items():
            calls = AlgorithmCalls(algorithm, dict(self.assignments[name].settings))
            try:
                calls.start(context, None)
            except SettingsError as error:
                problems.extend(
                    Problem(f"{name}.{problem.where}", problem.expected, problem.found, problem.remedy)
                    for problem in error.problems
                )
            running[name] = calls
        if problems:
            raise AlgorithmRefused(problems)
        return running


def _blocks(source: WaveformSource) -> Iterator[SampleBlock]:
    while True:
        try:
            block = source.read(PATIENCE)
        except EndOfRecording:
            return
        if block is not None:
            yield block


def _made(
    source: WaveformSource, running: Mapping[str, AlgorithmCalls], on_block: Callable[[SampleBlock], None] | None
) -> Iterator[tuple[int, list[tuple[str, Record]]]]:
    """Give what each block, and the silence after the last one, brings about directly, and when [ns UTC]."""
    end_ns: int | None = None
    for block in _blocks(source):
        end_ns = block.end_ns
        if on_block is not None:
            on_block(block)
        takers = [(name, calls) for name, calls in running.items() if Kind.SAMPLES in calls.info.consumes]
        yield end_ns, [(name, record) for name, calls in takers for record in calls.process(block)]
    if end_ns is not None:
        later = end_ns + SILENCE_NS
        ticked = [(name, calls) for name, calls in running.items() if calls.info.tick_interval > 0]
        yield later, [(name, record) for name, calls in ticked for record in calls.tick(later)]


def _through(
    running: Mapping[str, AlgorithmCalls], pipeline: Pipeline, made: Sequence[tuple[str, Record]]
) -> Iterator[tuple[str, Record]]:
    """Give records with everything that follows from them, oldest first."""
    waiting = deque(made)
    while waiting:
        maker, record = waiting.popleft()
        yield maker, record
        for name in pipeline.consumers(maker, record):
            waiting.extend((name, following) for following in running[name].process(record))
