"""
What a reference meter showed, as an installer types it: from the command line, or question by question.

Between `calibrate_command` and `calibration_measurement`. A reading's last digit tells how finely it was read, so it is
kept as text until it is a value with an uncertainty. Every reading that cannot be read is named at once.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.console.calibration_measurement import Readings
from algorithms.api.errors import Problem, ProblemsError
from device_catalog.contract.documents import Acquisition
from hardware.calibration import Reference, read_value

KINDS = ("voltage", "current", "lag", "power", "reactive", "voltage_angle")
_angles = ("lag", "voltage_angle")


class ReadingError(ProblemsError):
    """Readings that cannot be read."""


@dataclass(frozen=True, slots=True)
class Given:
    """Who compares with what, and what that showed."""

    by: str
    reference: str
    readings: Readings


def gather(options: argparse.Namespace, acquisition: Acquisition) -> Given:
    """
    Take the readings from the command line; ask for everything where it holds none.

    Raises
    ------
    ReadingError
        With everything that cannot be read.
    """
    told = {name: str(getattr(options, name)) for name in KINDS}
    by, reference, accuracy = options.by, options.reference, options.accuracy
    phases = sorted({channel.phase for channel in acquisition.channels})
    if not any(told.values()):
        by = by or ask("your name: ")
        reference = reference or ask("the reference meter (maker, model, serial number): ")
        if accuracy is None:
            accuracy = _number(ask("its accuracy [% of a reading] (0.2): ") or "0.2")
        told = _ask_readings(acquisition)
    problems: list[Problem] = []
    if not by:
        problems.append(Problem("by", "the name of whoever calibrates", "nothing", "say --by NAME"))
    relative = 0.2 if accuracy is None else accuracy
    if not (math.isfinite(relative) and 0 < relative < 10):
        problems.append(Problem("accuracy", "percent of a reading, more than 0 and below 10", f"{relative}"))
    angle = 0.1 if options.angle_accuracy is None else options.angle_accuracy
    if not (math.isfinite(angle) and 0 < angle < 10):
        problems.append(Problem("angle-accuracy", "degrees, more than 0 and below 10", f"{angle}"))
    readings = Readings()
    for name, text in told.items():
        getattr(readings, name).update(_read(name, text, phases, _reader(name, relative, angle), problems))
    for name in ("voltage", "current"):
        problems += [
            Problem(f"{name}.{phase}", "more than 0", f"{one.value:g}")
            for phase, one in getattr(readings, name).items()
            if one.value <= 0
        ]
    if not readings and not problems:
        problems.append(Problem("readings", "at least one", "none", "say --voltage, --current, --lag or --power"))
    if problems:
        raise ReadingError(problems)
    return Given(by, reference, readings)


def _reader(name: str, accuracy: float, angle: float) -> Callable[[str], Reference]:
    if name not in _angles:
        return lambda text: read_value(text, accuracy / 100.0)

    def read(text: str) -> Reference:
        degrees = read_value(text, 0.0, angle)
        return Reference(math.radians(degrees.value), math.radians(degrees.uncertainty))

    return read


def _read(
    name: str, text: str, phases: Iterable[str], read: Callable[[str], Reference], problems: list[Problem]
) -> dict[str, Reference]:
    found: dict[str, Reference] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        phase, equals, value = part.partition("=")
        names = [phase.strip().upper()] if equals else [one for one in phases if one != "N"]
        try:
            reading = read(value if equals else part)
        except ValueError:
            problems.append(Problem(f"--{name.replace('_', '-')}", "A=VALUE,B=VALUE,... or one VALUE", part[:40]))
            continue
        for one in names:
            if one in found or one not in ("A", "B", "C", "N"):
                problems.append(Problem(f"--{name.replace('_', '-')}", "each phase A, B, C or N once", one[:40]))
            found[one] = reading
    return found


def _ask_readings(acquisition: Acquisition) -> dict[str, str]:
    sys.stdout.write("read the reference now; leave empty what it does not show\n")
    told: dict[str, list[str]] = {name: [] for name in KINDS}
    for channel in acquisition.channels:
        unit = "V" if channel.quantity == "voltage" else "A"
        _ask_one(
            told,
            channel.quantity,
            channel.phase,
            f"{channel.name}: {channel.quantity} of phase {channel.phase} [{unit}]: ",
        )
        if channel.quantity == "current":
            question = f"{channel.name}: current lags voltage of phase {channel.phase} by [degrees]: "
            _ask_one(told, "lag", channel.phase, question)
    return {name: ",".join(parts) for name, parts in told.items()}


def _ask_one(told: dict[str, list[str]], name: str, phase: str, question: str) -> None:
    answer = ask(question)
    if answer:
        told[name].append(f"{phase}={answer}")


def ask(question: str) -> str:
    """Ask something; empty where nobody answers."""
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
