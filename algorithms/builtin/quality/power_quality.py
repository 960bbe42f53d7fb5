"""
The power-quality meter as an algorithm: samples in; ten minutes, two hours and voltage events out (IEC 61000-4-30).

Here are the settings, the checkpoint and the choice of a `QualityMeter` for the channels that come; everything measured
is there. Ten minutes under way survive a restart but for the samples missed meanwhile, which the next result names: its
``missing`` is the time without samples [s], and ``flagged`` counts the gap. Where the channels are others than before,
or scaled otherwise, what was under way is told as it is, and everything begins anew.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError, Problem, SettingsError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, Record
from algorithms.api.samples import NANOSECONDS, Channel, Phase, SampleBlock
from algorithms.api.settings import Setting, problems_of, read_settings
from algorithms.builtin.quality.quality_gathering import Gathering
from algorithms.builtin.quality.quality_meter import QualityMeter, QualitySettings, gathering_of
from algorithms.builtin.quality.quality_results import CONTENT
from algorithms.builtin.quality.quality_state import Kept
from algorithms.builtin.quality.voltage_events import Thresholds

LEAST_SAMPLES_PER_CYCLE = 10
"""Below this sampling rate nothing is measured: harmonics would be folded onto the fundamental."""
SAME_SCALE = 1e-6
"""Constants of a channel that differ by no more are the same [1]."""
STATE_VERSION = 2
SILENCE = 2 * NANOSECONDS
"""After this long without samples voltage events under way are told as cut [ns]."""

_details = ("10-min", "150-cycle", "10-cycle")
_constants = {"resolution": 0.0, "full_scale": 0.0, "gain_uncertainty": 0.0, "phase_uncertainty": 0.0, "skew": 1e-6}
"""What tells that a channel was calibrated or wired anew, and what is no difference [V or A, 1, rad, s]."""
_lamps = {"230 V": "230V", "120 V": "120V"}


class State(msgspec.Struct, frozen=True):
    """A checkpoint: for which channels, what was under way, and voltage events that had begun."""

    version: int
    channels: list[Channel]
    sample_rate: float
    highest: int
    time_ns: int
    kept: Kept
    events: list[Event]


class PowerQuality(Algorithm):
    """Voltage quality of one terminal by the methods of IEC 61000-4-30 class A, and its currents' harmonics."""

    info: ClassVar[AlgorithmInfo] = AlgorithmInfo(
        name="power_quality",
        version="1.0.0",
        summary="Voltage, frequency, harmonics, unbalance, flicker, dips, swells and interruptions (IEC 61000-4-30).",
        consumes=(Kind.SAMPLES,),
        produces=(Kind.RESULT, Kind.EVENT),
        contents=(CONTENT,),
        settings=(
            Setting(
                "declared_voltage",
                "number",
                "Voltage that thresholds refer to, phase to neutral; the nominal voltage unless given.",
                unit="V",
                default=None,
                minimum=1.0,
                maximum=1e6,
            ),
            Setting("dip", "number", "A dip is below this share of it.", "1", 0.9, minimum=0.5, maximum=0.98),
            Setting("swell", "number", "A swell is above this share of it.", "1", 1.1, minimum=1.02, maximum=2.0),
            Setting(
                "interruption", "number", "An interruption is below this share.", "1", 0.05, minimum=0.01, maximum=0.2
            ),
            Setting("hysteresis", "number", "A share that ends what began.", "1", 0.02, minimum=0.0, maximum=0.1),
            Setting(
                "rapid_change",
                "number",
                "A rapid voltage change is more than this share; 0 for none.",
                "1",
                0.05,
                minimum=0.0,
                maximum=0.1,
            ),
            Setting(
                "lamp",
                "text",
                "The flickermeter's lamp; automatic: that of the nearer voltage.",
                default="automatic",
                choices=("automatic", *_lamps),
            ),
            Setting(
                "shortest_interval",
                "text",
                "What is told besides ten minutes and two hours (180 and 12 cycles at 60 Hz).",
                default="10-min",
                choices=_details,
            ),
        ),
        time_budget=0.02,
        tick_interval=1.0,
        checkpoint_interval=120.0,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._context: Context | None = None
        self._read: QualitySettings | None = None
        self._meter: QualityMeter | None = None
        self._channels: tuple[Channel, ...] | None = None
        self._rate = 0.0
        self._restored: State | None = None
        self._last_ns = 0

    def start(self, context: Context, restored: bytes | None) -> None:
        """Read the settings and make ready; see `Algorithm.start`."""
        problems = [*problems_of(self.info.settings, self.settings), *_problems_of_context(context)]
        if problems:
            raise SettingsError(problems)
        values = read_settings(self.info.settings, self.settings)
        if values["interruption"] + values["hysteresis"] >= values["dip"]:
            raise SettingsError(
                [Problem("settings.interruption", "far below dip", f"{values['interruption']:g} and {values['dip']:g}")]
            )
        declared = float(values["declared_voltage"] or context.nominal_voltage)
        names = ("dip", "swell", "interruption", "hysteresis", "rapid_change")
        thresholds = Thresholds(declared, *(float(values[name]) for name in names))
        lamp = _lamps.get(values["lamp"]) or ("230V" if _low_voltage(declared) > 166.0 else "120V")
        self._read = QualitySettings(thresholds, lamp, _details.index(values["shortest_interval"]))
        self._restored = _state(restored) if restored else None
        if self._restored is not None:
            _taken_up(self._restored, context, self._read)  # refused now, or never
        self._context = context
        self._meter, self._channels = None, None

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        """Take a block of samples; return what it completes."""
        if self._context is None:
            raise RuntimeError("start comes before process")
        if not isinstance(record, SampleBlock):
            raise ValueError(f"a SampleBlock expected, found {type(record).__name__}")  # noqa: TRY004 - wrong use
        records: list[Record] = []
        if record.channels != self._channels or abs(record.sample_rate - self._rate) > 0.01 * self._rate:
            records = self._arrange(record)
        self._last_ns = record.end_ns
        if self._meter is not None:
            records += self._meter.push(record)
        return records

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Finish what was under way when samples stay away."""
        if self._meter is None or now_ns - self._last_ns < SILENCE:
            return ()
        return self._meter.pause(now_ns)

    def checkpoint(self) -> bytes:
        """Return the intervals under way."""
        if self._meter is None or self._channels is None or not self._last_ns:
            # Nothing measured yet: what was taken up is still all there is.
            return b"" if self._restored is None else msgspec.msgpack.encode(self._restored)
        state = State(
            version=STATE_VERSION,
            channels=list(self._channels),
            sample_rate=self._rate,
            highest=self._meter.highest,
            time_ns=self._last_ns,
            kept=self._meter.gathering.kept(),
            events=self._meter.open_events(),
        )
        return msgspec.msgpack.encode(state)

    def _arrange(self, block: SampleBlock) -> list[Record]:
        """Begin with other channels, or another sampling rate; tell what was under way."""
        if self._context is None or self._read is None:
            raise RuntimeError("start comes before process")
        records = [] if self._meter is None else self._meter.finish()
        self._meter = None
        self._channels, self._rate = block.channels, block.sample_rate
        if _problems_of_channels(block.channels, block.sample_rate, self._context.nominal_frequency):
            return records
        self._meter = QualityMeter(self._context, block.channels, block.sample_rate, self._read)
        state, self._restored = self._restored, None
        if state is not None:
            same_rate = abs(state.sample_rate - block.sample_rate) <= 0.01 * block.sample_rate
            if same_rate and _same(state.channels, block.channels) and state.highest == self._meter.highest:
                self._meter.gathering.take_up(state.kept)
            else:
                records += _taken_up(state, self._context, self._read).finish()
            records += [
                msgspec.structs.replace(
                    event,
                    end_ns=max(state.time_ns, event.start_ns),
                    evidence={**event.evidence, "cut_by_gap": True},
                )
                for event in state.events
            ]
        return records


def _same(before: Sequence[Channel], now: Sequence[Channel]) -> bool:
    """Tell whether samples of two sets of channels may be summed: the same inputs, scaled in the same way."""
    return len(before) == len(now) and all(
        (one.name, one.quantity, one.phase) == (other.name, other.quantity, other.phase)
        and all(
            math.isclose(getattr(one, constant), getattr(other, constant), rel_tol=SAME_SCALE, abs_tol=least)
            for constant, least in _constants.items()
        )
        for one, other in zip(before, now, strict=True)
    )


def _taken_up(state: State, context: Context, settings: QualitySettings) -> Gathering:
    """Return what was under way, for the channels it was measured on; a `CheckpointError` says what does not fit."""
    problems = _problems_of_channels(state.channels, state.sample_rate, context.nominal_frequency)
    if problems or not math.isfinite(state.sample_rate):
        raise CheckpointError("channels that can be measured expected in a state of power_quality, found others")
    _, gathering, highest = gathering_of(context, state.channels, state.sample_rate, settings)
    if highest != state.highest:
        raise CheckpointError(f"harmonics to {highest} expected in a state of power_quality, found {state.highest}")
    gathering.take_up(state.kept)
    return gathering


def _low_voltage(declared: float) -> float:
    """Return the voltage that lamps behind it see: the declared one, or 230 V behind a transformer."""
    return declared if declared < 1000.0 else 230.0


def _problems_of_context(context: Context) -> list[Problem]:
    if not context.channels or not context.sample_rate:
        return []
    return _problems_of_channels(context.channels, context.sample_rate, context.nominal_frequency)


def _problems_of_channels(channels: Sequence[Channel], sample_rate: float, nominal_frequency: float) -> list[Problem]:
    problems = []
    least = LEAST_SAMPLES_PER_CYCLE * nominal_frequency
    if sample_rate < least:
        expected = f"at least {least:g} [Hz], {LEAST_SAMPLES_PER_CYCLE} samples per cycle"
        remedy = "raise the rate asked for, or use a faster board"
        problems.append(Problem("acquisition.sample_rate", expected, f"{sample_rate:g}", remedy))
    if all(channel.phase is Phase.N for channel in channels):
        expected = "a voltage or a current of phase A, B or C"
        problems.append(Problem("channels", expected, "none", "say which phase each measures"))
    return problems


def _state(restored: bytes) -> State:
    try:
        state = msgspec.msgpack.decode(restored, type=State)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CheckpointError(f"a state of power_quality expected, found {error}") from error
    if state.version != STATE_VERSION:
        raise CheckpointError(f"a state of version {STATE_VERSION} expected, found {state.version}")
    return state
