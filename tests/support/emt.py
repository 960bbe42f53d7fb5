"""
An electromagnetic transient simulator of a three-phase feeder: what waveforms faults and switching really make.

It shares no equation with the kernels under test: lines are chains of pi cells with full matrices R, L, C, loads are
R and L in parallel between phases, the source is an oscillator behind R and L with a neutral of its own, and all are
states of one descriptor system

    M dx/dt = A x

that the trapezoidal rule carries on. What switches (faults, breakers, banks) begins a new stage with another A. The
first sample of a stage is reached by the backward Euler rule, which damps the oscillation that the trapezoidal rule
would otherwise keep for ever (critical damping adjustment: J. R. Marti and J. Lin, IEEE Trans. Power Syst. 4:2, 1989).
Measured channels pass an analogue low-pass of second order, and are sampled one after another where a board does so.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PAIRS = np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]], dtype=float)
"""Rows: the voltages AB, BC, CA of a delta from those of the phases."""
SUBSTEPS = 12
"""Steps of integration within a sample; a multiple of the six channels."""
_BLOCK = 32


@dataclass(frozen=True)
class Line:
    """A chain of `cells` pi circuits from node to node: matrices of the whole length [ohm, H, F]."""

    start: str
    end: str
    r: Any
    l: Any
    c: Any
    cells: int = 1


@dataclass(frozen=True)
class DeltaLoad:
    """R and L in parallel between phases: conductance [S] and inverse inductance [1/H] of AB, BC, CA."""

    node: str
    g: Any
    inverse_l: Any


@dataclass(frozen=True)
class Source:
    """A symmetrical voltage behind R and L; its neutral is earthed through R, or through a coil with R in parallel."""

    node: str
    peak: float
    r: float
    l: float
    neutral_r: float = 0.0
    coil_l: float = 0.0
    angle: float = 0.0
    frequency: float = 50.0
    swing: float = 2.0
    """Difference of the second oscillator's frequency, which stages may bring in [Hz]."""

    def matrix(self, scale: Any = 1.0, turn: float = 0.0, swing: float = 0.0) -> Any:
        """Give voltages of the phases from the four oscillator states: scaled by phase, turned [rad], swinging."""
        angles = self.angle + turn - 2 * np.pi / 3 * np.arange(3)
        one = self.peak * np.broadcast_to(scale, 3)[:, None] * np.stack([np.cos(angles), -np.sin(angles)], axis=1)
        return np.hstack([one, swing * one])


@dataclass(frozen=True)
class Stage:
    """
    What holds for a while.

    Attributes
    ----------
    duration : float
        [s]
    shunts : mapping
        Conductance matrices (3, 3) at nodes: faults [S].
    open : mapping
        Phases (0, 1, 2) that are open in lines, by the number of the line.
    off : set of int
        Numbers of loads that are not connected.
    source : array or None
        Another `Source.matrix`.
    """

    duration: float
    shunts: Mapping[str, Any] = field(default_factory=dict)
    open: Mapping[int, Sequence[int]] = field(default_factory=dict)
    off: frozenset[int] = frozenset()
    source: Any = None


@dataclass(frozen=True)
class Grid:
    """Lines, loads, capacitances at nodes [F, (3, 3)] and the source."""

    lines: Sequence[Line]
    loads: Sequence[DeltaLoad]
    source: Source
    capacitances: Mapping[str, Any] = field(default_factory=dict)


class Simulator:
    """
    Simulates one grid.

    Parameters
    ----------
    grid : Grid
    head : int
        Number of the line whose current and first node's voltages are measured by six multiplexed channels.
    voltages : sequence of str
        Nodes whose three voltages are measured besides.
    sample_rate : float
        [Hz]
    cut_off : float
        Of the analogue low-pass before the converters [Hz].
    skew : float
        Time from one channel of the head to the next [s], rounded to a step of integration.
    """

    def __init__(
        self, grid: Grid, head: int, voltages: Sequence[str] = (), *, sample_rate: float = 6400.0,
        cut_off: float = 1600.0, skew: float | None = None,
    ) -> None:  # fmt: skip
        self.grid, self.head, self.voltages = grid, head, tuple(voltages)
        self.sample_rate, self.cut_off = sample_rate, cut_off
        self.step = 1.0 / sample_rate / SUBSTEPS
        self.skew_steps = SUBSTEPS // 6 if skew is None else round(skew / self.step)
        self._lay_out()

    def _lay_out(self) -> None:
        names: dict[str, int] = {}
        cells = []
        for number, line in enumerate(self.grid.lines):
            chain = [line.start, *(f"{number}/{k}" for k in range(1, line.cells)), line.end]
            for one, other in itertools.pairwise(chain):
                ends = tuple(names.setdefault(name, len(names)) for name in (one, other))
                cells.append((number, ends, *(np.asarray(m) / line.cells for m in (line.r, line.l, line.c))))
        self.names, self.cells = names, cells
        n, b, k = len(names), len(cells), len(self.grid.loads)
        self.first_cell = {}
        for at, cell in enumerate(cells):
            self.first_cell.setdefault(cell[0], at)
        sizes = [3 * n, 3 * b, 3 * k, 3, 1, 2 * (6 + 3 * len(self.voltages)), 4]
        edges = np.concatenate([[0], np.cumsum(sizes)])
        self.v, self.i, self.j, self.s, self.coil, self.w, self.o = (
            slice(int(a), int(z)) for a, z in itertools.pairwise(edges)
        )
        self.size = int(edges[-1])

    def _node(self, name: str) -> slice:
        at = self.v.start + 3 * self.names[name]
        return slice(at, at + 3)

    def system(self, stage: Stage) -> tuple[Any, Any]:
        """Give M and A of a stage."""
        grid, size = self.grid, self.size
        M, A = np.zeros((size, size)), np.zeros((size, size))
        eye = np.eye(3)
        for at, (number, ends, r, l, c) in enumerate(self.cells):
            rows = slice(self.i.start + 3 * at, self.i.start + 3 * at + 3)
            one, other = (slice(3 * end, 3 * end + 3) for end in ends)
            M[one, one] += c / 2
            M[other, other] += c / 2
            M[rows, rows] = l
            A[rows, one], A[rows, other], A[rows, rows] = eye, -eye, -r
            A[one, rows] -= eye
            A[other, rows] += eye
            if at == self.first_cell[number]:
                for phase in stage.open.get(number, ()):
                    row = rows.start + phase
                    M[row], A[row] = 0.0, 0.0
                    A[row, row] = -1.0
        for name, c in grid.capacitances.items():
            M[self._node(name), self._node(name)] += c
        for at, load in enumerate(grid.loads):
            rows, node = slice(self.j.start + 3 * at, self.j.start + 3 * at + 3), self._node(load.node)
            M[rows, rows] = eye
            if at in stage.off:
                A[rows, rows] = -eye / self.step  # what flowed is gone after a step or two
                continue
            A[rows, node] = np.diag(load.inverse_l) @ PAIRS
            A[node, rows] -= PAIRS.T
            A[node, node] -= PAIRS.T @ np.diag(load.g) @ PAIRS
        for name, g in stage.shunts.items():
            A[self._node(name), self._node(name)] -= g
        self._source(stage, M, A)
        self._filters(M, A)
        return M, A

    def _source(self, stage: Stage, M: Any, A: Any) -> None:
        source, eye, ones = self.grid.source, np.eye(3), np.ones((3, 3))
        node = self._node(source.node)
        M[self.s, self.s] = source.l * eye
        A[self.s, node] = -eye
        A[node, self.s] += eye
        A[self.s, self.s] = -source.r * eye - source.neutral_r * ones
        M[self.coil, self.coil] = max(source.coil_l, 1.0)
        if source.coil_l:
            A[self.s, self.coil] = source.neutral_r
            A[self.coil, self.s] = source.neutral_r
            A[self.coil, self.coil] = -source.neutral_r
        A[self.s, self.o] = source.matrix() if stage.source is None else stage.source
        M[self.o, self.o] = np.eye(4)
        A[self.o, self.o] = self._oscillators(euler=False)

    def _oscillators(self, *, euler: bool) -> Any:
        """Give the rates that make a rule of integration turn both oscillators at their frequencies exactly."""
        rates = np.zeros((4, 4))
        source = self.grid.source
        for at, frequency in enumerate((source.frequency, source.frequency + source.swing)):
            angle = 2 * np.pi * frequency * self.step
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            rate = np.eye(2) - turn.T if euler else 2 * (turn - np.eye(2)) @ np.linalg.inv(turn + np.eye(2))
            rates[2 * at : 2 * at + 2, 2 * at : 2 * at + 2] = rate / self.step
        return rates

    def _filters(self, M: Any, A: Any) -> None:
        """Put a Butterworth low-pass behind every channel: y'' + sqrt 2 w y' + w^2 y = w^2 u."""
        head = self.grid.lines[self.head]
        cell = self.first_cell[self.head]
        bus = self._node(head.start)
        rows = self._node(head.start)
        charging = self.cells[cell][4] / 2 @ np.linalg.inv(M[bus, bus]) @ A[rows]
        inputs = np.zeros((6 + 3 * len(self.voltages), self.size))
        inputs[:3, bus] = np.eye(3)
        inputs[3:6, self.i.start + 3 * cell : self.i.start + 3 * cell + 3] = np.eye(3)
        inputs[3:6] += charging
        for at, name in enumerate(self.voltages):
            inputs[6 + 3 * at : 9 + 3 * at, self._node(name)] = np.eye(3)
        omega = 2 * np.pi * self.cut_off
        first = np.arange(self.w.start, self.w.stop, 2)
        M[first, first] = M[first + 1, first + 1] = 1.0
        A[first, first + 1] = omega
        A[first + 1] = omega * inputs
        A[first + 1, first] -= omega
        A[first + 1, first + 1] -= np.sqrt(2.0) * omega

    def steady(self, stage: Stage) -> Any:
        """Give the state that a stage has had for ever, at time 0."""
        M, A = self.system(stage)
        turn = np.exp(2j * np.pi * self.grid.source.frequency * self.step)
        derivative = 2.0 / self.step * (turn - 1.0) / (turn + 1.0)  # what the trapezoidal rule makes of j omega
        inside = slice(0, self.o.start)
        drive = A[inside, self.o] @ np.array([1.0, -1j, 0.0, 0.0])
        phasors = np.linalg.solve(derivative * M[inside, inside] - A[inside, inside], drive)
        return np.concatenate([phasors.real, [1.0, 0.0, 1.0, 0.0]])

    def run(self, stages: Sequence[Stage], start: Any = None) -> tuple[Any, Any]:
        """
        Simulate stages one after another.

        Returns
        -------
        samples : numpy.ndarray
            Three voltages and three currents of the head, then three voltages of each node asked for, shape
            (6 + 3 n, k) [V, A].
        state : numpy.ndarray
            What it ends with.
        """
        state = self.steady(stages[0]) if start is None else np.array(start)
        samples = []
        for number, stage in enumerate(stages):
            count = round(stage.duration * self.sample_rate)
            if not count:
                continue
            M, A = self.system(stage)
            for line, phases in stage.open.items():
                for phase in phases:
                    state[self.i.start + 3 * self.first_cell[line] + phase] = 0.0
            trapezoid = np.linalg.solve(M - self.step / 2 * A, M + self.step / 2 * A)
            rows = self._rows(trapezoid)
            if number or start is not None:
                samples.append((rows @ state)[:, None])
                A[self.o, self.o] = self._oscillators(euler=True)
                euler = np.linalg.matrix_power(np.linalg.solve(M - self.step * A, M), SUBSTEPS)
                state = euler @ state
                count -= 1
            found, state = self._carry_on(np.linalg.matrix_power(trapezoid, SUBSTEPS), rows, state, count)
            samples.append(found)
        return np.hstack(samples), state

    def _rows(self, trapezoid: Any) -> Any:
        """Give what each channel reads, when its turn comes, from the state at the nominal instant of a sample."""
        rows = np.zeros((6 + 3 * len(self.voltages), self.size))
        rows[np.arange(len(rows)), np.arange(self.w.start, self.w.stop, 2)] = 1.0
        if self.skew_steps:
            onward = np.linalg.matrix_power(trapezoid, self.skew_steps)
            for channel in range(1, 6):
                rows[channel:6] = rows[channel:6] @ onward
        return rows

    @staticmethod
    def _carry_on(sample: Any, rows: Any, state: Any, count: int) -> tuple[Any, Any]:
        block = min(_BLOCK, max(count, 1))
        columns = [state]
        for _ in range(block - 1):
            columns.append(sample @ columns[-1])
        states = np.stack(columns, axis=1)
        leap = np.linalg.matrix_power(sample, block)
        found = []
        for first in range(0, count, block):
            found.append(rows @ states[:, : min(block, count - first)])
            last = states[:, min(block, count - first) - 1]
            states = leap @ states
        return np.hstack(found) if found else np.zeros((len(rows), 0)), sample @ last if count else state


def opening(simulator: Simulator, stage: Stage, line: int, state: Any, limit: float = 0.02) -> tuple[Any, Any, Stage]:
    """
    Open the three phases of a line, each at its next zero of current.

    Returns
    -------
    samples, state, stage
        Until the last phase is open, and the stage that holds then.
    """
    pieces, opened = [], list(stage.open.get(line, ()))
    while len(opened) < 3:
        piece, _after = simulator.run([Stage(limit, stage.shunts, stage.open, stage.off, stage.source)], state)
        currents = piece[3:6]
        crossing = {}
        for phase in {0, 1, 2} - set(opened):
            change = np.flatnonzero(np.diff(np.signbit(currents[phase])))
            crossing[phase] = int(change[0]) + 1 if change.size else currents.shape[1]
        phase, at = min(crossing.items(), key=lambda item: item[1])
        piece, state = simulator.run(
            [Stage(at / simulator.sample_rate, stage.shunts, stage.open, stage.off, stage.source)], state
        )
        pieces.append(piece)
        opened.append(phase)
        stage = Stage(stage.duration, stage.shunts, {**stage.open, line: tuple(opened)}, stage.off, stage.source)
    return np.hstack(pieces), state, stage
