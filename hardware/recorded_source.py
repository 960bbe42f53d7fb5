"""
A waveform source that plays a COMTRADE recording, in real time or as fast as it is read.

Between `comtrade` and whoever reads samples. Values are primary volts and amperes. A block never spans two rates or a
pause: where the rate changes it is flagged and `sample_rate` is the new one, where the recording pauses
`first_index` jumps and the block is flagged LOST, and so it is where a repeated recording begins again.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from algorithms.api.errors import Problem, shortened
from algorithms.api.samples import NANOSECONDS, Phase, Quantity, SampleBlock, SampleFlag
from algorithms.api.settings import Setting
from algorithms.api.wire import time_from_text
from hardware.checks import problems_of_request, read_options, refuse
from hardware.comtrade import read_recording
from hardware.comtrade_config import MAXIMUM_RATE
from hardware.comtrade_model import Recording
from hardware.comtrade_times import Segment, segments
from hardware.pacing import PACES, Clock, Pace, SystemClock
from hardware.recorded_channels import Pick, named_channels, pick_channels
from hardware.recorded_player import Player
from hardware.source import ChannelRequest, EndOfRecording, SourceInfo, SourcePlan, SourceRequest

DRIVER = "recorded"

STARTS = ("", "recorded", "now")
"""What `start_time` may say other than a time."""

UNKNOWN_CLOCK = 1.0
"""Standard uncertainty assumed of a recorder's clock that says nothing of its quality [s]."""

OPTIONS = (
    Setting("path", "text", "The recording: name.cfg with name.dat beside it, or name.cff.", minimum=1, maximum=4096),
    Setting("pace", "text", "Whether samples come when their time has passed, or at once.", default=PACES[0],
            choices=PACES),
    Setting("repeat", "boolean", "Begin again at the end, time going on.", default=False),
    Setting("start_time", "text", "recorded, now, or an RFC 3339 time to begin at; without it, now in real time.",
            default="", maximum=40),
    Setting("voltages", "list", "Names of the channels of phases A, B and C; without it they are found.", default=(),
            maximum=3),
    Setting("currents", "list", "Names of the channels of phases A, B and C; without it they are found.", default=(),
            maximum=3),
)  # fmt: skip


class RecordedSource:
    """
    A recording as a waveform source.

    Parameters
    ----------
    options : mapping
        See `OPTIONS`.
    clock : Clock or None
        None for the machine's own.

    Raises
    ------
    OptionsError
        With everything that is wrong with the options.
    """

    def __init__(self, options: Mapping[str, Any], clock: Clock | None = None) -> None:
        self._options = read_options(
            DRIVER, OPTIONS, options, _problems_of_names(options) + _problems_of_start(options)
        )
        self._path = Path(self._options["path"])
        self._clock = clock if clock is not None else SystemClock()
        self._live = self._options["pace"] == PACES[0]
        self._description = f"recording {self._path.name}"
        self._blocks: Iterator[tuple[SampleBlock, float]] | None = None
        self._next: tuple[SampleBlock, float] | None = None
        self._pace: Pace | None = None

    @property
    def info(self) -> SourceInfo:
        """What it is; once started also which channels it plays."""
        return SourceInfo(DRIVER, self._description, live=self._live)

    def start(self, request: SourceRequest) -> SourcePlan:
        """
        Read the recording and begin at its first sample.

        Raises
        ------
        SourceNotFound
            When there is no such file.
        RecordingError
            When it is no recording.
        SourceRefused
            When a channel that is asked for is not in it.
        """
        if self._blocks is not None:
            raise RuntimeError("a stopped source expected; this one has been started")
        refuse(DRIVER, problems_of_request(request, MAXIMUM_RATE))
        recording = read_recording(self._path)
        stretches = segments(recording, self._path.name)
        picks, problems = self._picks(request, recording)
        refuse(f"{DRIVER}, {self._path.name}", problems)
        player = Player(recording, stretches, picks, request)
        stated = self._options["start_time"] if self._options["start_time"] not in STARTS else ""
        now = bool(stated) or self._options["start_time"] == "now" or (self._live and not self._options["start_time"])
        recorded_ns = recording.config.start_utc_ns
        uncertainty = recording.config.time_uncertainty
        synchronised = now or (recorded_ns is not None and math.isfinite(uncertainty))
        origin_ns = self._clock.now_ns() if now else recorded_ns or 0
        if stated:
            origin_ns = self._origin(time_from_text(stated), stretches)
        self._blocks = player.blocks(
            origin_ns,
            0.0 if now else min(uncertainty, UNKNOWN_CLOCK),
            SampleFlag.NONE if synchronised else SampleFlag.UNSYNCHRONISED,
            repeat=self._options["repeat"],
        )
        self._next = None
        self._pace = Pace(self._clock, origin_ns if stated else self._clock.now_ns()) if self._live else None
        names = ", ".join(f"{pick.request.name} = {recording.config.analog[pick.index].name}" for pick in picks)
        self._description = f"recording {self._path.name} of {recording.config.station or 'no stated place'}: {names}"
        return SourcePlan(stretches[0].rate, player.channels, player.block_samples(stretches[0]))

    def read(self, timeout: float) -> SampleBlock | None:
        """
        Return the next block, once its time has come.

        Raises
        ------
        EndOfRecording
        """
        if self._blocks is None:
            raise RuntimeError("a started source expected; call start first")
        if self._next is None:
            self._next = next(self._blocks, None)
            if self._next is None:
                raise EndOfRecording(f"{self._path.name} has ended")
        block, due = self._next
        if self._pace is not None and not self._pace.wait(due, timeout):
            return None
        self._next = None
        return block

    def stop(self) -> None:
        """Let go of the recording."""
        self._blocks = None
        self._next = None
        self._pace = None

    def _origin(self, stated_ns: int, stretches: tuple[Segment, ...]) -> int:
        """Return when the first sample is taken: as stated, or the beginning of a later round once that has passed."""
        late_ns = self._clock.now_ns() - stated_ns
        if not self._live or late_ns <= 0:
            return stated_ns
        if not self._options["repeat"]:
            refuse(
                DRIVER, [f"start_time: expected a time that lies ahead, found one {late_ns / NANOSECONDS:.1f} s ago"]
            )
        period_ns = round(period(stretches) * NANOSECONDS)
        return stated_ns + -(-late_ns // period_ns) * period_ns

    def _picks(self, request: SourceRequest, recording: Recording) -> tuple[list[Pick], list[str]]:
        analog = recording.config.analog
        if request.channels:
            return named_channels(request.channels, analog)
        named = [
            ChannelRequest(f"{letter}{phase.lower()}", quantity, phase, name)
            for key, letter, quantity in (("voltages", "u", Quantity.VOLTAGE), ("currents", "i", Quantity.CURRENT))
            for phase, name in zip((Phase.A, Phase.B, Phase.C), self._options[key], strict=False)
        ]
        chosen, problems = named_channels(named, analog)
        if self._options["voltages"] and self._options["currents"]:
            return chosen, problems
        found, none_found = pick_channels(analog)
        kinds = {pick.quantity for pick in named}
        picks = chosen + [pick for pick in found if pick.request.quantity not in kinds]
        return sorted(picks, key=lambda pick: pick.request.quantity is Quantity.CURRENT), (
            problems if chosen else problems + none_found
        )


def period(stretches: tuple[Segment, ...]) -> float:
    """Return after how long a repeated recording begins again [s]: one sample is left out at the seam."""
    return stretches[-1].end + 1 / stretches[0].rate


def _problems_of_start(options: Mapping[str, Any]) -> list[Problem]:
    start = options.get("start_time", "")
    if not isinstance(start, str) or start in STARTS or len(start) > 40:
        return []
    try:
        time_from_text(start)
    except ValueError:
        wanted = "recorded, now, or a time such as 2026-01-31T12:00:00Z"
        return [Problem("options.start_time", wanted, shortened(start))]
    return []


def _problems_of_names(options: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for key in ("voltages", "currents"):
        names = options.get(key, ())
        right = (
            isinstance(names, list | tuple) and len(names) in (0, 3) and all(isinstance(name, str) for name in names)
        )
        if isinstance(names, list | tuple) and len(names) <= 3 and not right:
            problems.append(Problem(f"options.{key}", "the names of three channels", shortened(names)))
    return problems
