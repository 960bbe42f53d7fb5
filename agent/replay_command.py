"""
``tresma-agent replay FILE``: which algorithms, with which settings, over which recording.

Standard output carries nothing but messages; what a person wants to know goes to standard error.
"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
import numpy as np
import yaml

from agent.config import read_config
from agent.errors import AgentError, AlgorithmRefused, ConfigError
from agent.loading import load_algorithm
from agent.playback import Replay
from agent.sampling import open_source, source_request
from agent.store import Store
from algorithms.api.errors import Problem, shortened
from algorithms.api.samples import Quantity
from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import Acquisition, Assignment, Configuration
from device_catalog.contract.validation import DocumentError, parse_configuration, parse_desired
from hardware.comtrade import read_recording
from hardware.errors import SourceError
from hardware.source import EndOfRecording

Document = TypeVar("Document")

EX_DATAERR = 65

PRE_EVENT_CYCLES = 3
"""The beginning of a recording, before anything happens, tells its nominal voltage [cycles]."""

BLOCK = 0.02
"""[s]"""


def run(options: argparse.Namespace) -> int:
    """Replay; returns the exit status."""
    assignments, device, tenant = _assigned(options)
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
        with _output(options.output) as out:
            begin, count = time.perf_counter(), 0
            for line in replay.run(source, source_request(acquisition)):
                out.write(line + b"\n")
                count += 1
        _tell(f"{count} messages in {time.perf_counter() - begin:.2f} s")
    except SourceError as error:
        _tell(f"{error}")
        return EX_DATAERR
    except AlgorithmRefused as refusal:
        raise ConfigError(refusal.problems) from refusal
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = None
    return 0


def _acquisition(options: argparse.Namespace) -> Acquisition:
    driver = {"path": str(options.file), "pace": "as-fast-as-possible"}
    recording = read_recording(options.file)
    frequency = options.nominal_frequency or recording.config.frequency or 50.0
    if not 10.0 <= frequency <= 100.0:
        expected = "a line frequency of 10 to 100 Hz"
        raise ConfigError([Problem("nominal frequency", expected, f"{frequency:g}", "give --nominal-frequency")])
    # A recording keeps its own rate; what is asked for here means nothing to it.
    plain = Acquisition("recorded", 1.0, driver, block_duration=BLOCK, nominal_frequency=frequency)
    voltage = options.nominal_voltage or _beginning_voltage(plain)
    return msgspec.structs.replace(plain, nominal_voltage=voltage)


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


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
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
