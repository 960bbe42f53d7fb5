"""
The energy meter: blocks of samples in, four-quadrant registers out, at whole multiples of an interval in UTC.

It assembles: `stretches` lays samples end to end, `waveform.energy` turns each stretch into powers, `energy_registers`
counts. Its own are the settings, what is counted at all, and what goes on after a restart. Rules: registers never go
down, and only a `Command` sets them to zero; every sample is counted once, also across an update of this algorithm,
since a new instance takes up the samples where the checkpoint ends; time without samples, with samples that no
converter delivers, or without voltage is told in seconds and never filled.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
import numpy as np

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError, SettingsError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Command, Kind, Quality, Record, Result
from algorithms.api.samples import NANOSECONDS, SampleBlock, SampleFlag
from algorithms.api.settings import Setting, problems_of, read_settings
from algorithms.api.wire import time_text
from algorithms.builtin.energy_registers import PHASES, Counts, Registers, RegisterState, counts_of
from algorithms.builtin.energy_wiring import (
    Wiring,
    continues,
    problems_of_context,
    wiring_of,
)
from algorithms.builtin.stretches import Missing, Stretch
from algorithms.waveform.energy import (
    CycleFit,
    CycleTable,
    cycle_table,
    fit_cycles,
    frequency_of,
    powers,
    rms_of_fundamental,
)

CONTENT = "energy/1"
RESET = "reset-energy"
"""Verb of the command that sets the registers to zero."""

FOLLOWED, MEASURED = 0.2, 0.15
"""Frequencies this far from nominal are followed, and measured [1]: 42.5 to 57.5 Hz, 51 to 69 Hz."""
USABLE_VOLTAGE, DEAD_VOLTAGE = 0.1, 0.02
"""Shares of nominal voltage below which a phase tells no frequency, and is dead [1]."""
GRID_TURNS = 0.002
"""Step of the frequencies there are tables for [cycles per stretch]."""
TABLES = 24
REFINEMENTS = 4
SIGNIFICANT = 3.0
"""Power below this many standard uncertainties of its noise is not counted [1]: it would creep."""
SAME_STREAM = 0.1
"""Samples whose number and time agree with the checkpoint's to within this continue its stream [s]."""
BELIEVED = 86_400.0
"""A longer absence is not told by a clock that is not known to follow UTC: it may have begun anywhere [s]."""
COMMANDS = 16
"""Commands remembered, so that one that is repeated changes nothing."""


class EnergyState(msgspec.Struct, frozen=True, tag="energy"):
    """What goes on in a later instance; later versions may add fields and must go on writing these."""

    registers: RegisterState
    seconds: dict[str, float]
    end_ns: int
    end_index: int
    starts: int
    resets: int = 0
    reset_ns: int = 0
    reset_command: str = ""
    commands: tuple[str, ...] = ()


class Energy(Algorithm):
    """Active, reactive and apparent energy of each phase and of all, by direction and quadrant."""

    info: ClassVar[AlgorithmInfo] = AlgorithmInfo(
        name="energy",
        version="1.0.0",
        summary="Four-quadrant energy registers of each phase and of all, with uncertainties, counted without gaps.",
        consumes=(Kind.SAMPLES, Kind.COMMAND),
        produces=(Kind.RESULT,),
        contents=(CONTENT,),
        settings=(
            Setting(
                "interval",
                "integer",
                "How often registers are published, at whole multiples in UTC; each time is a write to the card.",
                unit="s",
                default=60,
                minimum=1,
                maximum=86_400,
            ),
            Setting(
                "rated_current",
                "number",
                "RMS current the connection is rated for; 0 takes half of what the input can represent.",
                unit="A",
                default=0.0,
                minimum=0.0,
                maximum=1e6,
            ),
            Setting(
                "starting_share",
                "number",
                "Share of rated current below which nothing is counted: 0.001 as classes 0.2S and 0.5S, 0.004 as 1.",
                unit="1",
                default=0.001,
                minimum=0.0,
                maximum=0.1,
            ),
        ),
        history=10.0,
        time_budget=0.05,
        checkpoint_interval=9.0,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._context: Context | None = None
        self._interval_ns = 0
        self._rated = self._starting_share = 0.0
        self._registers = Registers()
        self._seconds = dict.fromkeys(("measured", "dead", "missing", "out_of_range", "clipped", "unsynchronised"), 0.0)
        self._told = dict(self._seconds)
        self._end_ns = self._end_index = 0
        self._starts = 1
        self._resets, self._reset_ns, self._reset_command = 0, 0, ""
        self._commands: tuple[str, ...] = ()
        self._continues = False
        self._due_ns: int | None = None
        self._told_ns: int | None = None
        self._wiring: Wiring | None = None
        self._frequency = 0.0
        self._tables: OrderedDict[tuple[int, int], CycleTable] = OrderedDict()

    def start(self, context: Context, restored: bytes | None) -> None:
        """Read the settings and take up the registers; see `Algorithm.start`."""
        problems = problems_of(self.info.settings, self.settings)
        problems += problems_of_context(context)
        if problems:
            raise SettingsError(problems)
        values = read_settings(self.info.settings, self.settings)
        self._context = context
        self._interval_ns = values["interval"] * NANOSECONDS
        self._rated = values["rated_current"]
        self._starting_share = values["starting_share"]
        if restored is not None:
            self._restore(restored)

    def process(self, record: SampleBlock | Record) -> Sequence[Result]:
        """Count a block of samples, or obey a command; return the registers that fell due."""
        if isinstance(record, Command):
            return self._obey(record)
        if not isinstance(record, SampleBlock) or not record.n_samples:
            return ()
        results: list[Result] = []
        block: SampleBlock | None = record
        wiring = self._wiring
        if wiring is None or not continues(wiring, record):
            if wiring is not None:
                self._take(wiring, wiring.stretches.flush(), results)
            wiring = self._wiring = self._arrange(record)
        if self._continues:
            block = self._not_counted_yet(record, results)
        if wiring is not None and block is not None:
            self._take(wiring, wiring.stretches.push(block), results)
        elif block is not None:  # no phase can be measured on these channels
            results.extend(self._miss(Missing(block.duration, block.end_ns)))
        if block is not None:
            self._end_index = block.end_index - (wiring.stretches.waiting if wiring is not None else 0)
        return results

    def checkpoint(self) -> bytes:
        """Return the registers and where counting stands."""
        return msgspec.msgpack.encode(
            EnergyState(
                registers=self._registers.state(),
                seconds=self._seconds,
                end_ns=self._end_ns,
                end_index=self._end_index,
                starts=self._starts,
                resets=self._resets,
                reset_ns=self._reset_ns,
                reset_command=self._reset_command,
                commands=self._commands,
            )
        )

    @property
    def _place(self) -> Context:
        if self._context is None:
            raise RuntimeError("expected start before anything else, found that it was not called")
        return self._context

    # ---- going on after a restart

    def _restore(self, restored: bytes) -> None:
        try:
            state = msgspec.msgpack.decode(restored, type=EnergyState)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"expected the state of energy registers, found bytes that are none: {error}"
            ) from error
        usable = all(math.isfinite(value) and value >= 0 for value in state.seconds.values())
        if not usable or not 0 <= state.end_ns < 1 << 63 or min(state.end_index, state.starts, state.resets) < 0:
            raise CheckpointError("expected times and counts of 0 or more in the state of energy registers")
        self._registers = Registers.restored(state.registers)
        self._seconds.update((name, state.seconds.get(name, 0.0)) for name in self._seconds)
        self._told = dict(self._seconds)
        self._end_ns, self._end_index = state.end_ns, state.end_index
        self._starts = state.starts + 1
        self._resets, self._reset_ns, self._reset_command = state.resets, state.reset_ns, state.reset_command
        self._commands = state.commands
        self._continues = state.end_ns > 0

    def _not_counted_yet(self, block: SampleBlock, results: list[Result]) -> SampleBlock | None:
        """Return what of the first blocks after a restart was not counted before it; account for the time between."""
        ahead = self._end_index - block.first_index
        reached_ns = block.time_ns + round(ahead / block.sample_rate * NANOSECONDS)
        if ahead >= 0 and abs(reached_ns - self._end_ns) <= SAME_STREAM * NANOSECONDS:
            if ahead >= block.n_samples:
                return None
            self._continues = False
            return replace(
                block, values=block.values[:, ahead:], first_index=block.first_index + ahead, time_ns=reached_ns
            )
        self._continues = False
        between = (block.time_ns - self._end_ns) / NANOSECONDS
        longest = BELIEVED if block.flags & SampleFlag.UNSYNCHRONISED else math.inf
        if 0 < between <= longest:
            results.extend(self._miss(Missing(between, block.time_ns)))
        return block

    # ---- counting

    def _arrange(self, block: SampleBlock) -> Wiring | None:
        nominal = self._place.nominal_frequency
        wiring = wiring_of(block, nominal, self._rated, self._starting_share)
        if wiring is not None:
            self._tables.clear()
            self._frequency = nominal / wiring.sample_rate
        return wiring

    def _take(self, wiring: Wiring, parts: Iterable[Stretch | Missing], results: list[Result]) -> None:
        for part in parts:
            if isinstance(part, Missing):
                results.extend(self._miss(part))
            else:
                counts, seconds = self._count(wiring, part)
                results.extend(self._book(part, counts, seconds))

    def _miss(self, missing: Missing) -> list[Result]:
        return self._book(missing, None, {"missing": missing.duration})

    def _count(self, wiring: Wiring, stretch: Stretch) -> tuple[Counts | None, dict[str, float]]:
        """Return what a stretch adds to the registers, None where it cannot be measured, and what its time is."""
        nominal_voltage = self._place.nominal_voltage
        if not (np.abs(stretch.values) <= wiring.largest).all():  # what is no number is not below it either
            return None, {"missing": stretch.duration}
        table, fit = self._fit(wiring, stretch)
        volts = rms_of_fundamental(fit)[wiring.v]
        if volts.max() < DEAD_VOLTAGE * nominal_voltage:
            return None, {"dead": stretch.duration}
        deviation = self._frequency * wiring.sample_rate / self._place.nominal_frequency - 1.0
        if abs(deviation) > MEASURED:
            return None, {"out_of_range": stretch.duration}
        seconds = {"measured": stretch.duration}
        if stretch.flags & SampleFlag.CLIPPED:
            seconds["clipped"] = stretch.duration
        if stretch.flags & SampleFlag.UNSYNCHRONISED:
            seconds["unsynchronised"] = stretch.duration
        np.maximum(fit.noise, wiring.step_variance, out=fit.noise)
        found = powers(
            table, fit, v=wiring.v, i=wiring.i, lead=wiring.lead * self._frequency, frequency=self._frequency
        )
        flows = (found.current > wiring.starting_current) & (volts >= DEAD_VOLTAGE * nominal_voltage)
        least = SIGNIFICANT * np.sqrt(found.variance)
        p, q, s, variance = np.zeros((4, 3))
        p[wiring.places] = np.where(flows & (np.abs(found.p) > least), found.p, 0.0)
        q[wiring.places] = np.where(flows & (np.abs(found.q) > least), found.q, 0.0)
        s[wiring.places] = np.where(flows & (found.s > least), found.s, 0.0)
        variance[wiring.places] = np.where(flows, found.variance, 0.0)
        counts = counts_of(
            p=p, q=q, s=s, variance=variance, gain=wiring.gain, phase=wiring.phase, duration=stretch.duration
        )
        return counts, seconds

    def _fit(self, wiring: Wiring, stretch: Stretch) -> tuple[CycleTable, CycleFit]:
        """Fit a stretch at its own frequency, and remember that."""
        nominal = self._place.nominal_frequency / wiring.sample_rate
        step = GRID_TURNS / stretch.values.shape[1]
        least = USABLE_VOLTAGE * self._place.nominal_voltage
        for _ in range(REFINEMENTS):
            table = self._table(stretch.n_cycles, wiring.stretches.cycle, round(self._frequency / step), step)
            fit = fit_cycles(table, stretch.values)
            alive = wiring.v[rms_of_fundamental(fit)[wiring.v] > least]
            if not alive.size:
                break
            found = frequency_of(table, fit, alive)
            self._frequency = min(max(found, (1.0 - FOLLOWED) * nominal), (1.0 + FOLLOWED) * nominal)
            if abs(self._frequency - table.frequency) <= 0.75 * step:
                break
        return table, fit

    def _table(self, n_cycles: int, cycle: int, key: int, step: float) -> CycleTable:
        table = self._tables.get((n_cycles, key))
        if table is None:
            table = self._tables[n_cycles, key] = cycle_table(n_cycles, cycle, key * step)
            if len(self._tables) > TABLES:
                self._tables.popitem(last=False)
        else:
            self._tables.move_to_end((n_cycles, key))
        return table

    # ---- telling

    def _book(self, part: Stretch | Missing, counts: Counts | None, seconds: Mapping[str, float]) -> list[Result]:
        """Count a stretch; where it crosses the instant of a result, first the part before it, then the rest."""
        begin_ns = part.end_ns - round(part.duration * NANOSECONDS)
        due = self._due_ns
        if due is None or due - part.end_ns > self._interval_ns:  # the first one, or the clock was set back
            due = (begin_ns // self._interval_ns + 1) * self._interval_ns
            self._told_ns = begin_ns
        self._end_ns = part.end_ns
        self._due_ns = due
        if part.end_ns < due:
            self._add(counts, seconds, 1.0)
            return []
        due = part.end_ns // self._interval_ns * self._interval_ns  # the last one, where time jumped
        self._due_ns = due + self._interval_ns
        before = min(max((due - begin_ns) / max(part.end_ns - begin_ns, 1), 0.0), 1.0)
        self._add(counts, seconds, before)
        result = self._result(due)
        self._add(counts, seconds, 1.0 - before)
        return [result]

    def _add(self, counts: Counts | None, seconds: Mapping[str, float], share: float) -> None:
        if counts is not None:
            self._registers.add(counts if share == 1.0 else counts.share(share))
        for name, duration in seconds.items():
            self._seconds[name] += share * duration

    def _result(self, time_ns: int) -> Result:
        since = {name: value - self._told[name] for name, value in self._seconds.items()}
        began_ns = time_ns if self._told_ns is None else self._told_ns
        quality = {
            Quality.DEAD: since["dead"],
            Quality.OUT_OF_RANGE: since["out_of_range"],
            Quality.CLIPPED: since["clipped"],
            Quality.GAP: since["missing"],
            Quality.UNSYNCHRONISED: since["unsynchronised"],
        }
        phases = self._wiring.phases if self._wiring is not None else PHASES
        self._told, self._told_ns = dict(self._seconds), time_ns
        return Result(
            CONTENT,
            self._place.terminal,
            time_ns,
            {
                "registers": self._registers.table(phases),
                "interval": {"began": time_text(began_ns), **{name: round(value, 6) for name, value in since.items()}},
                "seconds": {name: round(value) for name, value in self._seconds.items()},
                "starts": self._starts,
                "resets": self._resets,
                "reset": time_text(self._reset_ns) if self._resets else None,
                "reset_command": self._reset_command,
                "quality": [name.value for name, value in quality.items() if value > 0],
            },
            urgent=True,
        )

    def _obey(self, command: Command) -> Sequence[Result]:
        """Set everything to zero after telling the last values, where that is what is ordered, here, in time, once."""
        ours = command.verb == RESET and command.recipient == self._place.device
        late = command.expires_ns < max(self._end_ns, command.issued_ns)
        if not ours or late or not self._end_ns or command.id in self._commands:
            return ()
        self._commands = (*self._commands, command.id)[-COMMANDS:]
        last = self._result(self._end_ns)
        self._registers = Registers()
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        self._told = dict(self._seconds)
        self._resets += 1
        self._reset_ns, self._reset_command = self._end_ns, command.id
        return (last, self._result(self._end_ns))
