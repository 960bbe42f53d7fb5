"""
``tresma-agent replay FILE``: which algorithms, with which settings, over which recording.

Standard output carries nothing but messages; what a person wants to know goes to standard error. With ``--page`` the
messages become a page instead, and are written only where ``--output`` says.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
import numpy as np
import yaml

from agent.config import read_config
from agent.console.playback import Replay
from agent.console.replay_data import Recorded
from agent.console.replay_page import page, write_page
from agent.console.replay_plots import pictures
from agent.errors import AgentError, AlgorithmRefused, ConfigError
from agent.processes.loading import load_algorithm
from agent.processes.sampling import open_source, source_request
from agent.store import Store
from algorithms.api.errors import Problem, shortened
from algorithms.api.samples import Quantity, SampleBlock
from algorithms.api.wire import time_text
from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import Acquisition, Assignment, Configuration
from device_catalog.contract.validation import DocumentError, parse_configuration, parse_desired
from hardware.comtrade import read_recording
from hardware.comtrade_times import segments
from hardware.errors import SourceError
from hardware.source import EndOfRecording

Document = TypeVar("Document")

EX_DATAERR = 65

PRE_EVENT_CYCLES = 3
"""The beginning of a recording, before anything happens, tells its nominal voltage [cycles]."""

SHORTEST_WINDOW = 3
"""Of `phasors` [cycles]."""

BLOCK = 0.02
"""[s]"""

PAGE_ALGORITHMS: dict[str, dict[str, Any]] = {
    "phasors": {"window": 3},
    "power_quality": {"shortest_interval": "10-cycle"},
}
"""What a page shows, and with which settings unless others are given."""


def run(options: argparse.Namespace) -> int:
    """Replay; returns the exit status."""
    assignments, device, tenant = _assigned(options)
    if options.page is not None:
        for name, settings in PAGE_ALGORITHMS.items():
            assigned = assignments.get(name, Assignment(name))
            assignments[name] = msgspec.structs.replace(assigned, settings={**settings, **assigned.settings})
    try:
        algorithms = {name: load_algorithm(name) for name in assignments}
    except (ImportError, TypeError) as error:
        raise ConfigError([Problem("algorithms", "algorithms that are installed", str(error))]) from error
    try:
        acquisition = _acquisition(options)
        source = open_source(acquisition.driver, acquisition.options)
        replay = Replay(device, device, tenant, algorithms, assignments)
        _tell(f"{source.info.description}; nominal {acquisition.nominal_frequency:g} Hz, "
              f"{acquisition.nominal_voltage:.5g} V phase to neutral; {', '.join(assignments)}")  # fmt: skip
        recorded = _recorded(options, acquisition) if options.page is not None else None
        played = _Played(recorded)
        begin = time.perf_counter()
        with _output(options) as out:
            played.write(replay.run(source, source_request(acquisition), played.take_block), out)
        _tell(f"{played.count} messages in {time.perf_counter() - begin:.2f} s")
        if not played.count:
            _tell(f"why none: {_why_nothing(played.length, acquisition.nominal_frequency, assignments)}")
        if recorded is not None:
            recorded.facts.append(("Played", source.info.description))
            recorded.finish(read_recording(options.file), options.file.name)
            write_page(options.page, page(recorded, pictures(recorded)))
            _tell(f"{options.page}: {len(recorded.happenings)} events")
    except SourceError as error:
        _tell(f"{error}")
        return EX_DATAERR
    except AlgorithmRefused as refusal:
        raise ConfigError(refusal.problems) from refusal
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = None
    return 0


@dataclass(slots=True)
class _Played:
    """What was played so far: samples in seconds, and messages."""

    recorded: Recorded | None
    length: float = 0.0
    count: int = 0

    def take_block(self, block: SampleBlock) -> None:
        self.length += block.duration
        if self.recorded is not None:
            self.recorded.take_block(block)

    def write(self, lines: Iterator[bytes], out: BinaryIO) -> None:
        for line in lines:
            if self.recorded is not None:
                self.recorded.take_message(line)
            out.write(line + b"\n")
            self.count += 1


def _why_nothing(length: float, frequency: float, assignments: Mapping[str, Assignment]) -> str:
    """Say why so many seconds of samples made no message."""
    if not length:
        return "the recording holds no samples"
    names = ", ".join(assignments)
    found = f"{length:.3g} s of samples, {length * frequency:.3g} cycles"
    phasors = assignments.get("phasors")
    can_be_shorter = phasors is not None and phasors.settings.get("window") != SHORTEST_WINDOW
    remedy = (
        f"a shorter one may fit: --set phasors.window={SHORTEST_WINDOW}" if can_be_shorter else "see their settings"
    )
    return f"expected a recording longer than a window or interval of {names}, found {found}; {remedy}"


def _acquisition(options: argparse.Namespace) -> Acquisition:
    driver: dict[str, Any] = {"path": str(options.file), "pace": "as-fast-as-possible"}
    driver |= {name: getattr(options, name) for name in ("voltages", "currents") if getattr(options, name)}
    recording = read_recording(options.file)
    given, voltage = options.nominal_frequency, options.nominal_voltage
    frequency = given if given is not None else recording.config.frequency or 50.0
    problems = []
    if not 10.0 <= frequency <= 100.0:
        expected = "a line frequency of 10 to 100 Hz"
        problems.append(Problem("nominal frequency", expected, f"{frequency:g}", "give --nominal-frequency"))
    if voltage is not None and not 0.0 < voltage < 1e7:
        problems.append(
            Problem("nominal voltage", "a voltage above 0 [V]", f"{voltage:g}", "leave it to the recording")
        )
    if problems:
        raise ConfigError(problems)
    # A recording keeps its own rate; what is asked for here means nothing to it.
    plain = Acquisition("recorded", 1.0, driver, block_duration=BLOCK, nominal_frequency=frequency)
    return msgspec.structs.replace(plain, nominal_voltage=_beginning_voltage(plain) if voltage is None else voltage)


def _beginning_voltage(acquisition: Acquisition) -> float:
    """Return the median RMS of the voltages over the first few cycles [V]."""
    source = open_source(acquisition.driver, acquisition.options)
    plan = source.start(source_request(acquisition))
    rows = [row for row, channel in enumerate(plan.channels) if channel.quantity is Quantity.VOLTAGE]
    wanted = round(PRE_EVENT_CYCLES / acquisition.nominal_frequency * plan.sample_rate)
    blocks: list[Any] = []
    try:
        while sum(block.shape[1] for block in blocks) < wanted:
            block = source.read(1.0)
            if block is not None:
                blocks.append(block.values)
    except EndOfRecording:
        pass
    finally:
        source.stop()
    if not rows or not blocks:
        return 230.0
    values = np.concatenate(blocks, axis=1)[:, :wanted].astype(float)
    voltage = statistics.median(float(np.sqrt(np.nanmean(values[row] ** 2))) for row in rows)
    return voltage if voltage > 0 else 230.0


def _assigned(options: argparse.Namespace) -> tuple[dict[str, Assignment], str, str]:
    """Find out what is assigned: by a file, by the agent's last good settings, or phasors alone."""
    device, tenant = "replay", "default"
    configuration = Configuration(algorithms=() if options.set else (Assignment("phasors"),))
    problems: list[Problem] = []
    if options.settings is not None:
        configuration = _read(parse_configuration, _document(options.settings))
    elif options.config is not None:
        config = read_config(options.config)
        device = config.device
        desired = _read(parse_desired, Store(config.state_dir).settings() or b"{}")
        configuration, tenant = desired.configuration, desired.tenant
    assignments = {one.algorithm: one for one in configuration.algorithms}
    for text in options.set:
        problem = _set(assignments, text)
        if problem is not None:
            problems.append(problem)
    configuration = msgspec.structs.replace(configuration, algorithms=tuple(assignments.values()))
    problems.extend(problems_of(configuration))
    if not assignments and not problems:
        problems.append(Problem("algorithms", "at least one algorithm", "none", "assign one"))
    if problems:
        raise ConfigError(problems)
    return assignments, device, tenant


def _read(parse: Callable[[Any], Document], document: Any) -> Document:
    try:
        return parse(document)
    except DocumentError as error:
        raise ConfigError(error.problems) from error


def _document(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigError([Problem(str(path), "a readable file", error.strerror or str(error))]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([Problem(str(path), "YAML or JSON", shortened(str(error)))]) from error


def _set(assignments: dict[str, Assignment], text: str) -> Problem | None:
    """Take over one ``algorithm.name=value``."""
    target, equals, value = text.partition("=")
    name, dot, setting = target.partition(".")
    try:
        read = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        equals = ""
    if not (equals and dot and name and setting):
        return Problem("--set", "ALGORITHM.NAME=VALUE such as phasors.window=3", shortened(text))
    before = assignments.get(name, Assignment(name))
    assignments[name] = msgspec.structs.replace(before, settings={**before.settings, setting: read})
    return None


def _recorded(options: argparse.Namespace, acquisition: Acquisition) -> Recorded:
    """Begin to collect for a page, with what the file says of itself."""
    recording = read_recording(options.file)
    config = recording.config
    start, trigger = config.start_utc_ns, config.trigger_ns
    lead = 0 if trigger is None or config.start_ns is None else trigger - config.start_ns
    parts = [f"{part.count} samples at {part.rate:g} Hz" for part in segments(recording, options.file.name)]
    facts = [
        ("File", options.file.name),
        ("Recorder", " / ".join(name.strip() for name in (config.station, config.device) if name.strip())),
        ("Trigger", "unknown" if start is None else time_text(start + lead)),
        ("Samples", "; ".join(parts)),
        ("Nominal", f"{acquisition.nominal_frequency:g} Hz, {acquisition.nominal_voltage:.6g} V phase to neutral"),
    ]
    return Recorded(
        options.file.stem, acquisition.nominal_frequency, acquisition.nominal_voltage, (start or 0) + lead, facts
    )


@contextlib.contextmanager
def _output(options: argparse.Namespace) -> Iterator[BinaryIO]:
    path: Path | None = options.output
    if path is None and options.page is not None:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a page was asked for, not messages
            yield nowhere
        return
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise AgentError(f"{path} cannot be written: {error.strerror}") from error


def _tell(text: str) -> None:
    sys.stderr.write(f"tresma-agent: {text}\n")
