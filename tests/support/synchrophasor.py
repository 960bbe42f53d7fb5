"""
A phasor measurement unit on the test bench of IEC/IEEE 60255-118-1: trials in, findings with their limits out.

`synchrophasor_trials` makes the signals, `synchrophasor_limits` knows what is allowed. Here a board samples a signal,
a unit under test makes frames of the samples, and what the frames say is compared with the equations: total vector
error of every phase and of both positive sequences, errors of frequency and ROCOF. A unit is any function from blocks
to `Measured`; the algorithm itself is one (`unit_under_test`), the standard's reference filter another (`reference`).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import SampleBlock
from algorithms.builtin.phasors import Phasors
from tests.support import synchrophasor_limits as tests
from tests.support.synchrophasor_limits import Service
from tests.support.synchrophasor_reference import reach, reference_estimate
from tests.support.synchrophasor_trials import PEAKS, Trial, Wave, constant
from tests.support.three_phase import Board, frames_of, seconds, six_channels

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


@dataclass(frozen=True)
class Measured:
    """Frames as arrays: instants [s], RMS phasors (n, 6), positive sequences (n, 2), frequency [Hz], ROCOF [Hz/s]."""

    times: Floats
    phasors: Complexes
    positive: Complexes
    frequency: Floats
    rocof: Floats


@dataclass(frozen=True)
class Errors:
    """Errors of frames: TVE [%] of phases and positive sequences (n, 8), FE [mHz] and RFE [Hz/s] (n,)."""

    times: Floats
    tve: Floats
    fe: Floats
    rfe: Floats


@dataclass(frozen=True)
class Finding:
    """
    The worst that a test found of one measure.

    Attributes
    ----------
    test, measure, unit : str
    value : float
    limit : float or None
        None where the standard sets none.
    point : str
        Where in the range of the test it was found.
    """

    test: str
    measure: str
    value: float
    unit: str
    limit: float | None
    point: str

    @property
    def fraction(self) -> float:
        """Of the limit [1]; 0 where there is none."""
        return self.value / self.limit if self.limit else 0.0

    @property
    def met(self) -> bool:
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        limit = "no limit" if self.limit is None else f"limit {self.limit:g}"
        return f"{self.test:<25} {self.measure:<14} {self.value:>9.4g} {self.unit:<5} {limit:<10} at {self.point}"


Unit = Callable[[Board, Sequence[SampleBlock], Service], Measured]


def bench(sample_rate: float, bits: int, seed: int = 1) -> Board:
    """A multiplexed converter of +-10 V with half a step of noise (rms); 0 bits are an ideal one."""
    step = 20.0 / 2**bits if bits else 0.0
    channels = tuple(
        replace(channel, skew=k / 6 / sample_rate, resolution=step) for k, channel in enumerate(six_channels())
    )
    return Board(sample_rate, channels, noise=0.5 * step, step=step, seed=seed, block=round(sample_rate / 20))


def unit_under_test(settings: Mapping[str, Any]) -> Unit:
    """Return the algorithm with these settings, as the agent runs it; the reporting rate is that of the service."""

    def unit(board: Board, blocks: Sequence[SampleBlock], service: Service) -> Measured:
        algorithm = Phasors({**settings, "report_rate": service.report_rate})
        context = board.context(nominal_frequency=service.nominal, nominal_voltage=PEAKS[0] / math.sqrt(2))
        frames = frames_of(algorithm, context, blocks)
        return Measured(
            np.array([seconds(frame) for frame in frames]),
            np.array([[row.phasor for row in (*frame.voltage.values(), *frame.current.values())] for frame in frames]),
            np.array(
                [
                    [s.positive.phasor for s in (frame.voltage_sequence, frame.current_sequence) if s is not None]
                    for frame in frames
                ]
            ),
            np.array([frame.frequency.value if frame.frequency else np.inf for frame in frames]),
            np.array([frame.rocof.value if frame.rocof else np.inf for frame in frames]),
        )

    return unit


def reference(board: Board, blocks: Sequence[SampleBlock], service: Service) -> Measured:
    """The standard's own filter of the class, on the same samples."""
    values = np.hstack([block.values for block in blocks])
    skew = np.array([channel.skew for channel in board.channels])
    margin = reach(service, board.sample_rate)
    first = math.ceil(margin * service.report_rate)
    last = math.floor((values.shape[1] / board.sample_rate - margin) * service.report_rate)
    times = np.arange(first, last + 1) / service.report_rate
    return Measured(times, *reference_estimate(values, skew, board.sample_rate, service, times))


def errors_of(measured: Measured, wave: Wave, nominal: float) -> Errors:
    """Compare with the equations."""
    true = wave.phasors(measured.times, nominal)
    every = np.hstack([measured.phasors, measured.positive])
    right = np.hstack([true, true[:, (0, 3)]])  # balanced: the positive sequence is phase A
    return Errors(
        measured.times,
        100.0 * np.abs(every / right - 1.0),
        1e3 * np.abs(measured.frequency - wave.frequency(measured.times)),
        np.abs(measured.rocof - wave.rocof(measured.times)),
    )


def findings(suite: Iterable[Trial], unit: Unit, board: Board, service: Service) -> list[Finding]:
    """
    Run trials and return the worst of each test and measure.

    Parameters
    ----------
    suite : iterable of Trial
        Trials of one step in a row.
    unit : callable
    board : Board
        Its seed moves on with every trial, so that no two share their noise.
    service : Service
        The class tested for.
    """
    worst: dict[tuple[str, str], Finding] = {}
    seed = board.seed
    for (test, point), group in groupby(suite, key=lambda trial: (trial.test, trial.point)):
        together = []
        for trial in group:
            seed += 1
            sampling = replace(board, seed=seed)
            blocks = sampling.blocks(trial.wave.sampled, trial.duration)
            together.append((trial, unit(sampling, blocks, service)))
        if together[0][0].step_at is not None:
            found = _step(test, point, together, service)
        else:
            found = _steady(test, point, together, service)
        for finding in found:
            key = finding.test, finding.measure
            if key not in worst or finding.value > worst[key].value:
                worst[key] = finding
    return list(worst.values())


def _steady(test: str, point: str, together: Sequence[tuple[Trial, Measured]], service: Service) -> list[Finding]:
    limits = service.limits(test)
    found = []
    for trial, measured in together:
        errors = errors_of(measured, trial.wave, service.nominal)
        judged = np.ones(errors.times.size, dtype=bool)
        for instant in trial.unjudged:
            judged &= np.abs(errors.times - instant) > service.settling
        if not judged.any():
            raise ValueError(f"at least one frame expected that is judged, found none: {test}, {point}")
        found += [
            Finding(test, "TVE", float(errors.tve[judged].max()), "%", limits.tve, point),
            Finding(test, "FE", float(errors.fe[judged].max()), "mHz", limits.fe, point),
            Finding(test, "RFE", float(errors.rfe[judged].max()), "Hz/s", limits.rfe, point),
        ]
    return found


def _step(test: str, point: str, together: Sequence[tuple[Trial, Measured]], service: Service) -> list[Finding]:
    """
    Put the frames of all places of a step on one time axis, 0 at the step.

    A response time reaches from the first frame outside to the last one and counts one spacing more, since within it
    nobody looked. The delay is where half of the step is done, interpolated. Overshoot and undershoot are what goes
    beyond the levels before and after.
    """
    limits = service.step_limits()
    step = together[0][0].step
    every = [errors_of(measured, trial.wave, service.nominal) for trial, measured in together]
    since = np.concatenate([e.times - (trial.step_at or 0.0) for e, (trial, _) in zip(every, together, strict=True)])
    order = np.argsort(since)
    since = 1e3 * since[order]
    spacing = 1e3 / service.report_rate / len(together)
    tve, fe, rfe = (np.concatenate([getattr(e, kind) for e in every])[order] for kind in ("tve", "fe", "rfe"))
    shapes = [
        np.hstack([measured.phasors, measured.positive])
        / np.hstack([before := _before(trial, measured.times, service.nominal), before[:, (0, 3)]])
        for trial, measured in together
    ]
    shape = np.concatenate(shapes)[order]
    done = (np.abs(shape) - 1) / (abs(step) - 1) if test == tests.AMPLITUDE_STEP else np.angle(shape) / np.angle(step)
    outside = service.step_range
    overshoot = 100.0 * max(0.0, float(done.max()) - 1.0, -float(done.min()))
    measures = (
        ("response TVE", _span(since, (tve > outside[0]).any(axis=1), spacing), "ms", limits.tve_response),
        ("response FE", _span(since, fe > outside[1], spacing), "ms", limits.fe_response),
        ("response RFE", _span(since, rfe > outside[2], spacing), "ms", limits.rfe_response),
        ("delay", max(abs(_half(since, column)) for column in done.T), "ms", limits.delay),
        ("overshoot", overshoot, "%", limits.overshoot),
    )
    return [Finding(test, measure, value, unit, limit, point) for measure, value, unit, limit in measures]


def _before(trial: Trial, times: Floats, nominal: float) -> Complexes:
    """Return what the phasors would be without the step."""
    earlier = np.full_like(times, (trial.step_at or 0.0) - 0.02)
    return trial.wave.phasors(earlier, nominal)


def _span(since: Floats, outside: NDArray[np.bool_], spacing: float) -> float:
    if not outside.any():
        return 0.0
    return float(np.ptp(since[outside])) + spacing


def _half(since: Floats, done: Floats) -> float:
    """Return when half of a step is done [as `since`]."""
    after = int(np.argmax(done >= 0.5))
    if after == 0:
        return math.inf
    (t0, t1), (y0, y1) = since[after - 1 : after + 1], done[after - 1 : after + 1]
    return float(t0 + (0.5 - y0) / (y1 - y0) * (t1 - t0))


def latencies(
    settings: Mapping[str, Any],
    board: Board,
    service: Service,
    duration: float,
    cost: Callable[[], float] | None = None,
) -> Floats:
    """
    Return how long after its instant each frame comes out [ms].

    A block is there when its last sample has been taken. Where blocks begin within a reporting interval decides how
    long a frame waits for the one that completes it, so the stream begins at ten places of it.

    Parameters
    ----------
    settings : mapping
    board : Board
        `block` samples are delivered at once.
    service : Service
    duration : float
        Of each of the ten streams [s].
    cost : callable or None
        A clock [s] that tells what making a frame took; without one that counts as nothing.
    """
    found = []
    for place in range(10):
        algorithm = Phasors({**settings, "report_rate": service.report_rate})
        algorithm.start(board.context(nominal_frequency=service.nominal, nominal_voltage=PEAKS[0] / math.sqrt(2)), None)
        late = round(1e9 * place / 10 / service.report_rate)
        for block in board.blocks(constant(service.nominal).sampled, duration):
            began = cost() if cost else 0.0
            moved = replace(block, time_ns=block.time_ns + late)
            frames = algorithm.process(moved)
            took = cost() - began if cost else 0.0
            found += [1e-6 * (moved.end_ns - frame.time_ns) + 1e3 * took for frame in frames]
    return np.array(found)
