"""
From what is asked of a board to what it is told: which inputs, in which order, at which rate; or a refusal.

Pure. Where it stands: `mcc_source` plans a `Scan` here before it touches the board, and hands it to the driver's
library. A board converts its inputs in ascending order whatever the order of the channels is; `Scan.rows` leads back.
Everything that the board cannot grant is refused together, naming the models that could.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.api.errors import shortened
from algorithms.api.samples import Channel
from hardware.checks import problems_of_request, refuse
from hardware.mcc_boards import BoardModel, Wiring, fitting
from hardware.mcc_options import BoardOptions, Trigger
from hardware.mcc_spans import Span
from hardware.scaling import described
from hardware.source import ChannelRequest, SourceRequest

STAGE = 0.01
"""Time of the samples that libraries fetch together above 1 kHz [s]."""


@dataclass(frozen=True, slots=True)
class Scan:
    """
    What a board is told.

    Attributes
    ----------
    model : BoardModel
    wiring : Wiring
    inputs : tuple of int
        In the order in which they are converted.
    spans : tuple of Span
        Range of each.
    rows : tuple of int
        For each channel of the plan, its place in `inputs`.
    asked_rate : float
        To ask of the library, per channel [Hz].
    rate : float
        At which each channel is really sampled, before the crystal's error [Hz].
    burst, external_clock : bool
    trigger : Trigger
    ring : int
        Scans that the buffer holds: a multiple of the board's packet.
    stage : int
        Scans that come together, about.
    channels : tuple of Channel
        As the plan tells them, with their skew.
    """

    model: BoardModel
    wiring: Wiring
    inputs: tuple[int, ...]
    spans: tuple[Span, ...]
    rows: tuple[int, ...]
    asked_rate: float
    rate: float
    burst: bool
    external_clock: bool
    trigger: Trigger
    ring: int
    stage: int
    channels: tuple[Channel, ...]

    @property
    def needs_queue(self) -> bool:
        """Whether inputs are left out or have ranges of their own, so that the board needs a list of them."""
        gaps = self.inputs[-1] - self.inputs[0] + 1 != len(self.inputs)
        return gaps or len(set(self.spans)) > 1


def plan_scan(
    driver: str, model: BoardModel, options: BoardOptions, request: SourceRequest, *, rate: float | None = None
) -> Scan:
    """
    Hold a request against what the board can do.

    Parameters
    ----------
    driver : str
    model : BoardModel
    options : BoardOptions
    request : SourceRequest
    rate : float or None
        What is asked of the library instead of the request's rate, where that takes whole hertz only [Hz].

    Raises
    ------
    SourceRefused
        With everything that cannot be granted, and what would fit.
    """
    wiring = options.wiring
    spans = {channel.name: options.spans.get(channel.name, options.span) for channel in request.channels}
    problems = _problems_of_inputs(model, wiring, request.channels)
    problems += _problems_of_spans(model, options, spans)
    asked = request.sample_rate if rate is None else rate
    inputs = sorted({channel.input for channel in request.channels if isinstance(channel.input, int)})
    if inputs and not model.skips_channels:
        inputs = list(range(inputs[0], inputs[-1] + 1))
    highest = model.highest_rate(len(inputs))
    problems = problems_of_request(request, highest) + problems
    if options.burst and not model.burst_interval:
        how = "takes all at once anyway" if model.simultaneous else "cannot"
        problems.append(f"options.burst: expected a board that converts in bursts, found a {model.name}, which {how}; "
                        f"leave it out")  # fmt: skip
    if problems:
        able = fitting(wiring, spans.values(), inputs, request.sample_rate)
        hint = f"what is asked would fit {', '.join(able)}" if able else "no board in the table could do it"
        fits = model.name in able
        refuse(driver, problems if fits else [*problems, f"this {model.name} has {model.describe()}; {hint}"])
    burst = model.burst_interval > 0 if options.burst is None else options.burst
    count = len(inputs)
    true_rate = asked if options.external_clock else model.true_rate(asked, count, burst=burst)
    step = model.skew_step(true_rate, count, burst=burst)
    rows = tuple(inputs.index(channel.input) for channel in request.channels if isinstance(channel.input, int))
    channels = tuple(
        described(
            channel,
            nominal_frequency=request.nominal_frequency,
            skew=row * step,
            step=model.step(spans[channel.name]),
            low=spans[channel.name].low,
            high=spans[channel.name].high,
        )
        for channel, row in zip(request.channels, rows, strict=True)
    )
    wanted = {row: spans[channel.name] for channel, row in zip(request.channels, rows, strict=True)}
    packets = -(-round(options.buffer * true_rate) // model.packet)
    return Scan(
        model=model,
        wiring=wiring,
        inputs=tuple(inputs),
        spans=tuple(wanted.get(place, options.span) for place in range(count)),
        rows=rows,
        asked_rate=asked,
        rate=true_rate,
        burst=burst,
        external_clock=options.external_clock,
        trigger=options.trigger,
        ring=max(8, packets) * model.packet,
        stage=_stage(model, asked, count),
        channels=channels,
    )


def _stage(model: BoardModel, rate: float, count: int) -> int:
    """Return the scans that a library fetches together: 10 ms rounded up to packets, one packet up to 1 kHz."""
    samples = model.packet if rate <= 1000 else -(-int(rate * count * STAGE) // model.packet) * model.packet
    return max(1, -(-samples // count))


def _problems_of_inputs(model: BoardModel, wiring: Wiring, channels: Sequence[ChannelRequest]) -> list[str]:
    available = model.inputs.get(wiring, 0)
    if not available:
        return [f"options.input_mode: expected {' or '.join(model.inputs)} on a {model.name}, found {wiring}"]
    if not channels:
        return ["channels: expected the channels that are wired, each with its input; found none"]
    problems = []
    used: dict[int, str] = {}
    for channel in channels:
        number = channel.input
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < available:
            problems.append(
                f"channel {channel.name}: expected an input from 0 to {available - 1} ({wiring} on a {model.name}), "
                f"found {shortened(number)}"
            )
        elif number in used:
            problems.append(f"channel {channel.name}: expected an input of its own, found {number}, which is "
                            f"{used[number]}'s")  # fmt: skip
        else:
            used[number] = channel.name
    return problems


def _problems_of_spans(model: BoardModel, options: BoardOptions, spans: dict[str, Span]) -> list[str]:
    allowed = model.ranges.get(options.wiring, ())
    problems = [
        f"options.ranges.{shortened(name, 40)}: expected the name of a channel, found none of that name"
        for name in options.spans
        if name not in spans
    ]
    if not allowed:
        return problems
    for name, span in spans.items():
        if span in allowed:
            continue
        where = f"options.ranges.{name}" if name in options.spans else "options.range"
        wider = min((one for one in allowed if one.low <= span.low and one.high >= span.high), default=None,
                    key=lambda one: one.high - one.low)  # fmt: skip
        share = "" if wider is None else (span.high - span.low) / (wider.high - wider.low)
        remedy = "" if wider is None else f"; {wider} takes it, with {share:.3g} of its codes used"
        problem = (
            f"{where}: expected {', '.join(str(one) for one in allowed)} ({options.wiring} on a {model.name}), "
            f"found {span}{remedy}"
        )
        if problem not in problems:
            problems.append(problem)
    if not model.range_per_channel and len(set(spans.values())) > 1:
        problems.append(f"options.ranges: expected one range for all channels of a {model.name}, found "
                        f"{', '.join(sorted(str(span) for span in set(spans.values())))}")  # fmt: skip
    return problems
