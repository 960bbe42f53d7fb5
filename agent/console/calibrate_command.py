"""
``tresma-agent calibrate``: guides an installer through a comparison with a reference meter.

Reads the settings that are in force, asks for the reference's readings (or takes them from the command line), samples
the source for some seconds, says what is not plausible, shows what would change, keeps it on the device and tells the
catalog. Nothing is kept that is not plausible. What is kept can be shown (``--show``) and taken back (``--reset``).
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from agent.calibration import calibrated, own_calibration
from agent.catalog import CatalogClient
from agent.commissioning import wiring
from agent.config import AgentConfig, read_config
from agent.console import calibration_readings
from agent.console.believed import read_believed
from agent.console.calibration_measurement import Change, calibration_of, changes_of
from agent.console.observation import agent_runs, frames_of, observe
from agent.errors import AgentError, CatalogError
from agent.store import Store
from algorithms.api.errors import Problem, SettingsError
from device_catalog.contract.calibration import Calibration, newest
from device_catalog.contract.documents import Acquisition, Desired
from device_catalog.contract.validation import DocumentError
from hardware.errors import SourceError
from hardware.timebase_clocks import kernel_clock

EX_OK, EX_FAILED, EX_USAGE = 0, 1, 64


@dataclass(frozen=True, slots=True)
class _Known:
    """What is there before: the settings, and both calibrations."""

    desired: Desired
    own: Calibration | None
    reachable: str
    """Why the catalog could not be asked; empty where it was."""

    @property
    def in_force(self) -> Calibration | None:
        return newest(self.desired.calibration, self.own)


def run(options: argparse.Namespace) -> int:
    """Calibrate, show or reset; returns 0 when it is done, 1 when it was not, 64 for wrong use."""
    config = read_config(options.config)
    try:
        store = Store(config.state_dir)
    except OSError as error:
        raise AgentError(
            f"expected a folder that can be written, found {config.state_dir}: {error.strerror}; run this as the "
            "agent's user, or set state_dir"
        ) from error
    known = _known(config, store)
    if options.show:
        return _show(known, as_json=options.json)
    if options.reset:
        return _reset(options, config, store, known)
    return _calibrate(options, config, store, known)


def _known(config: AgentConfig, store: Store) -> _Known:
    client = CatalogClient(config)
    unreachable = ""
    document: bytes | None = None
    known = False
    try:
        document = client.fetch()
    except CatalogError as error:
        unreachable = str(error)
        document, known = store.settings(), True
    finally:
        client.close()
    if document is None:
        raise AgentError(
            f"{unreachable}; and no settings are kept on this device: start the agent once with the catalog"
        )
    try:
        desired = read_believed(config, document, known=known)
    except DocumentError as error:
        raise AgentError(f"expected settings that can be read, found: {error}") from error
    own, problems = own_calibration(store.calibration(), config.device)
    for problem in problems:
        sys.stderr.write(f"tresma-agent: {problem}; it is left aside\n")
    return _Known(desired, own, unreachable)


# ---- calibrating


def _calibrate(options: argparse.Namespace, config: AgentConfig, store: Store, known: _Known) -> int:
    setting = known.desired.configuration.acquisition
    if setting is None or not setting.channels:
        found = "no source" if setting is None else f"a source '{setting.driver}' with channels of its own"
        raise AgentError(f"expected settings that name the source's channels, found {found}; set them in the catalog")
    try:
        given = calibration_readings.gather(options, setting)
    except calibration_readings.ReadingError as error:
        for problem in error.problems:
            sys.stderr.write(f"tresma-agent: {problem}\n")
        return EX_USAGE
    now = datetime.now(UTC)
    acquisition, _, notes = calibrated(setting, known.in_force, now)
    if not options.json:
        sys.stdout.write(f"measuring for {options.seconds:g} s; keep the signal steady\n")
        sys.stdout.flush()
    changes, problems = _measure(options, config, acquisition, given)
    problems += _of_the_clock(now, known)
    made = calibration_of(
        config.device,
        changes,
        known.in_force,
        setting,
        made=now,
        by=given.by,
        reference=given.reference,
        drifts=(options.drift / 100.0, math.radians(options.phase_drift)),
    )
    outcome = _Outcome(options, changes, problems, list(notes))
    if not problems and changes and _wanted(options, changes):
        outcome.keep(config, store, made)
    return outcome.tell(made)


def _measure(
    options: argparse.Namespace, config: AgentConfig, acquisition: Acquisition, given: calibration_readings.Given
) -> tuple[list[Change], list[Problem]]:
    try:
        seen = observe(acquisition, options.seconds)
        frames = frames_of(acquisition, seen) if seen.samples else []
    except SourceError as error:
        remedy = "stop the agent first: systemctl stop tresma-agent" if agent_runs(config.state_dir) else ""
        return [], [Problem("source", "samples", str(error), remedy)]
    except SettingsError as error:
        return [], list(error.problems)
    changes, problems = changes_of(acquisition, seen, frames, given.readings)
    if seen.lost:
        problems.append(Problem("source", "all samples", f"some lost {seen.lost} times", "lower the rate"))
    if frames:
        judged = wiring.judge_wiring(frames[-1], acquisition.direction)
        problems += [
            Problem(one.item, "the wiring as declared", one.found, one.remedy)
            for one in judged
            if one.verdict is wiring.Verdict.FAILED
        ]
    return changes, problems


def _of_the_clock(now: datetime, known: _Known) -> list[Problem]:
    before = known.in_force
    if before is None or now > before.made:
        return []
    expected = f"a time after the last calibration, {before.made.isoformat()}"
    return [Problem("clock", expected, now.isoformat(), "set the clock; enable time synchronisation")]


def _wanted(options: argparse.Namespace, changes: Sequence[Change]) -> bool:
    """Ask whether to keep it, unless that was said already."""
    if options.dry_run or options.yes or options.json:
        return not options.dry_run
    _table(changes)
    sys.stdout.write("keep these constants? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class _Outcome:
    """What became of it, for people and machines."""

    def __init__(
        self, options: argparse.Namespace, changes: Sequence[Change], problems: Sequence[Problem], notes: list[str]
    ) -> None:
        self._options = options
        self._changes = changes
        self._problems = problems
        self._notes = notes
        self._kept = self._told = False
        if kernel_clock().uncertainty is None:
            notes.append("this clock follows no reference: see that the date is right")

    def keep(self, config: AgentConfig, store: Store, made: Calibration) -> None:
        self._kept = True
        self._told = _keep(config, store, made, self._notes)

    def tell(self, made: Calibration) -> int:
        if self._options.json:
            _write_json(
                {
                    "kept": self._kept,
                    "told": self._told,
                    "problems": self._problems,
                    "notes": self._notes,
                    "changes": [_plain(change) for change in self._changes],
                    "calibration": made if self._kept else None,
                }
            )
        else:
            if self._problems or self._options.dry_run or self._options.yes:
                _table(self._changes)
            for problem in self._problems:
                sys.stdout.write(f"[FAILED] {problem}\n")
            for note in self._notes:
                sys.stdout.write(f"[ note ] {note}\n")
            where = "on this device and in the catalog" if self._told else "on this device"
            sys.stdout.write(f"kept {where}\n" if self._kept else "nothing was kept\n")
        return EX_OK if self._kept or (self._options.dry_run and not self._problems) else EX_FAILED


def _keep(config: AgentConfig, store: Store, made: Calibration, notes: list[str]) -> bool:
    """Keep a calibration on the device, then tell the catalog; return whether that knows it now."""
    try:
        store.keep_calibration(msgspec.json.encode(made))
    except OSError as error:
        raise AgentError(
            f"the calibration could not be kept in {config.state_dir}: {error.strerror}; free space"
        ) from error
    client = CatalogClient(config)
    try:
        client.calibrate(made)
    except CatalogError as error:
        again = "once it can be reached" if error.status == 0 else "at its next start"
        notes.append(f"{error}; the agent tells it {again}")
        return False
    finally:
        client.close()
    return True


# ---- showing and taking back


def _show(known: _Known, *, as_json: bool) -> int:
    there = known.in_force
    if as_json:
        _write_json({"in_force": there, "device": known.own, "catalog": known.desired.calibration})
        return EX_OK
    if known.reachable:
        sys.stdout.write(f"[ note ] {known.reachable}; shown is what is known here\n")
    if there is None:
        sys.stdout.write("never calibrated: the settings' own constants count\n")
        return EX_OK
    places = {"the device": known.own, "the catalog": known.desired.calibration}
    where = " and ".join(place for place, one in places.items() if one == there)
    sys.stdout.write(
        f"in force: {there.made.isoformat()} by {there.by}, against {there.reference or '?'} (in {where})\n"
    )
    if not there.channels:
        sys.stdout.write("it takes all constants back to the settings' own\n")
    for channel in there.channels:
        made = channel.made or there.made
        sys.stdout.write(
            f"  {channel.name:<8} gain {channel.gain:.6g} +- {100 * channel.gain_uncertainty:.2g} %, offset "
            f"{1e3 * channel.offset:.3g} mV, phase {math.degrees(channel.phase_correction):.3f} +- "
            f"{math.degrees(channel.phase_uncertainty):.2g} degrees, {made.date().isoformat()}\n"
        )
    return EX_OK


def _reset(options: argparse.Namespace, config: AgentConfig, store: Store, known: _Known) -> int:
    by = options.by or calibration_readings.ask("your name: ")
    now = datetime.now(UTC)
    problems = _of_the_clock(now, known)
    if not by:
        problems.append(Problem("by", "the name of whoever does this", "nothing", "say --by NAME"))
    made = Calibration(config.device, now, by, note="reset")
    outcome = _Outcome(options, (), problems, [])
    if not problems and not options.dry_run:
        outcome.keep(config, store, made)
    return outcome.tell(made)


# ---- words


def _table(changes: Sequence[Change]) -> None:
    if not changes:
        return
    sys.stdout.write("channel   shown       gain      change    uncertain  phase     change    uncertain  offset\n")
    for change in changes:
        correction = change.correction
        new = correction.request
        sys.stdout.write(
            f"{new.name:<8} {float(change.measured.rms.mean()):>9.5g}  "
            f"{new.gain:>9.6f} {100 * correction.gain:>+8.3f} % {100 * new.gain_uncertainty:>8.3f} %  "
            f"{math.degrees(new.phase_correction):>7.3f} {math.degrees(correction.phase):>+8.3f} "
            f"{math.degrees(new.phase_uncertainty):>8.3f} deg {1e3 * correction.offset:>+8.3g} mV\n"
        )


def _plain(change: Change) -> dict[str, object]:
    new = change.correction.request
    return {
        "channel": new.name,
        "shown": float(change.measured.rms.mean()),
        "gain": new.gain,
        "gain_change": change.correction.gain,
        "gain_uncertainty": new.gain_uncertainty,
        "phase_correction": new.phase_correction,
        "phase_change": change.correction.phase,
        "phase_uncertainty": new.phase_uncertainty,
        "offset": new.offset,
        "offset_change": change.correction.offset,
        "unsteadiness": change.correction.unsteadiness,
    }


def _write_json(document: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
