"""
From sample blocks to a COMTRADE recording and its label. Pure; used by the recorder's process only.

Every row of the recording stands for one sampling instant, so that a gap in the samples is rows of the standard's code
for missing samples (IEEE C37.111-2013, 8.6), never a jump in time. Values are primary ones, scaled to 16 bits so that
the largest of each channel takes the whole range: a converter of 16 bits loses nothing by it. Digital channels show
when each event lasted. The time quality is the standard's code of the largest uncertainty on the way.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.processes.recorder_messages import Span, StartRecorder
from algorithms.api.records import Event
from algorithms.api.samples import NANOSECONDS, Channel, Quantity, SampleBlock, SampleFlag
from algorithms.api.wire import time_text
from device_catalog.contract.recordings import MAXIMUM_SIZE, RecordedEvent, RecordingInfo
from hardware.comtrade_model import AnalogChannel, Configuration, DeclaredRate, DigitalChannel, Recording

MOST_EVENTS = 16
"""Events that get a digital channel of their own."""

MOST_BYTES = MAXIMUM_SIZE - 64 * 1024
"""What the samples of one recording may take [bytes]; the rest is for its heading."""

_MISSING = -32768
_HIGHEST = 32_000
_BOUND = 3.0  # a bound of the clock's error is taken as so many standard uncertainties
_MICROSECOND = 1e-6
_UNKNOWN_LEAP = "3"  # the clock's source tells nothing of leap seconds


def make_recording(blocks: Sequence[SampleBlock], span: Span, start: StartRecorder) -> Recording:
    """
    Make a recording of what there is of a span.

    Parameters
    ----------
    blocks : sequence of SampleBlock
        At least one, in order, of the same channels; gaps show in their indices.
    span : Span
    start : StartRecorder
        Who records, and the transformers' ratios.

    Raises
    ------
    ValueError
        When there is nothing of the span in the blocks.
    """
    anchor = _anchor(blocks, span.trigger_ns)
    rate = anchor.sample_rate

    def index_at(time_ns: int) -> int:
        return anchor.first_index + math.ceil((time_ns - anchor.time_ns) / NANOSECONDS * rate - 1e-6)

    first = max(index_at(span.start_ns), blocks[0].first_index)
    end = min(index_at(span.end_ns), blocks[-1].end_index, first + most_samples(len(blocks[0].channels)))
    if end <= first:
        raise ValueError(
            f"samples between {time_text(span.start_ns)} and {time_text(span.end_ns)} expected, none found"
        )
    values, present = _rows(blocks, first, end)
    channels = blocks[0].channels
    scales = np.maximum(np.max(np.abs(values), axis=1), 1e-9) / _HIGHEST
    codes = np.where(present, np.rint(values / scales[:, None]), _MISSING).astype(np.int16)
    start_ns = anchor.time_ns + round((first - anchor.first_index) / rate * NANOSECONDS)
    times = start_ns + np.rint(np.arange(end - first) * (NANOSECONDS / rate)).astype(np.int64)
    names, words = _marks(span.events[:MOST_EVENTS], times)
    uncertainty, synchronised = _time(blocks)
    fine = synchronised and uncertainty < _MICROSECOND  # many readers know no digits beyond, and most clocks have none
    config = Configuration(
        station=_text(start.terminal),
        device=_text(start.device),
        revision=2013,
        analog=tuple(
            _analog(channel, float(scale), row, start.ratios)
            for channel, scale, row in zip(channels, scales, codes, strict=True)
        ),
        digital=tuple(DigitalChannel(name) for name in names),
        frequency=start.nominal_frequency,
        rates=(DeclaredRate(rate, end - first),),
        start_ns=start_ns,
        trigger_ns=span.trigger_ns,
        data_format="BINARY",
        time_multiplier=1000.0 if fine else 1.0,  # 32 bits of nanoseconds would last 4 s
        nanoseconds=fine,
        time_code="0",
        local_code="0",
        time_quality=time_quality(uncertainty, synchronised),
        leap=_UNKNOWN_LEAP,
    )
    stamps = np.rint((times - start_ns) / 1000.0)
    codes.flags.writeable = False
    return Recording(
        config, codes, stamps, words, np.arange(1, end - first + 1), header=_summary(span, start, channels)
    )


def most_samples(n_channels: int) -> int:
    """Tell how many samples per channel one recording may hold."""
    return MOST_BYTES // (8 + 2 * n_channels + 2)


def label_of(
    recording: Recording, data: bytes, blocks: Sequence[SampleBlock], span: Span, lacks: Sequence[str]
) -> RecordingInfo:
    """
    Write the label of a recording whose file is `data`.

    Parameters
    ----------
    recording : Recording
    data : bytes
    blocks : sequence of SampleBlock
    span : Span
    lacks : sequence of str
        What is known to be missing besides the samples marked so.
    """
    config = recording.config
    gone = recording.missing(slice(None)).any(axis=0)
    late = ["beginning"] if span.trigger_ns < (config.start_ns or 0) else []
    uncertainty, synchronised = _time(blocks)
    return RecordingInfo(
        id=span.id,
        device=config.device,
        terminal=config.station,
        kind=span.events[0].kind,
        severity=span.severity,
        trigger=time_text(span.trigger_ns),
        start=time_text(config.start_ns or 0),
        duration=round(recording.n_samples / config.rates[0].rate, 9),
        sample_rate=config.rates[0].rate,
        channels=tuple(channel.name for channel in config.analog),
        samples=recording.n_samples,
        missing=int(np.count_nonzero(gone)),
        lacks=tuple(dict.fromkeys([*late, *lacks, *(["samples"] if gone.any() else [])])),
        time_uncertainty=uncertainty,
        synchronised=synchronised,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        events=tuple(
            RecordedEvent(
                event.kind,
                event.severity,
                time_text(event.start_ns),
                None if event.end_ns is None else time_text(event.end_ns),
                event.phases,
            )
            for event in span.events
        ),
    )


def time_quality(uncertainty: float, synchronised: bool) -> str:
    """
    Write a clock's quality as the standard's hexadecimal digit: the power of ten that bounds its error.

    >>> time_quality(20e-6, True), time_quality(0.0, True), time_quality(20e-6, False)
    ('6', '0', 'F')
    """
    if not synchronised:
        return "F"
    bound = _BOUND * uncertainty
    if bound <= 0.0:
        return "0"
    digit = max(1, math.ceil(math.log10(bound) - 1e-9) + 10)
    return f"{digit:X}" if digit <= 11 else "F"


def _anchor(blocks: Sequence[SampleBlock], trigger_ns: int) -> SampleBlock:
    """Find the block by which the recording's times are told: the trigger's, or the nearest to it."""
    return min(blocks, key=lambda block: max(block.time_ns - trigger_ns, trigger_ns - block.end_ns, 0))


def _rows(blocks: Sequence[SampleBlock], first: int, end: int) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Lay samples into rows by their index, shape (n_channels, n_samples) each: values, and whether they are there."""
    values = np.zeros((len(blocks[0].channels), end - first), blocks[0].values.dtype)
    present = np.zeros(values.shape, dtype=np.bool_)
    for block in blocks:
        begin, stop = max(block.first_index, first), min(block.end_index, end)
        if stop > begin:
            part = block.values[:, begin - block.first_index : stop - block.first_index]
            here = slice(begin - first, stop - first)
            present[:, here] = np.isfinite(part)
            values[:, here] = np.where(present[:, here], part, 0.0)
    return values, present


def _marks(events: Sequence[Event], times: NDArray[np.int64]) -> tuple[list[str], NDArray[np.uint16]]:
    """Show in one word of 16 bits when each event lasted."""
    names: list[str] = []
    words = np.zeros((len(times), 1 if events else 0), dtype=np.uint16)
    for bit, event in enumerate(events):
        name = " ".join((event.kind, *event.phases))[:64]
        names.append(_text(name if name not in names else f"{name} {bit + 1}"))
        begin = int(np.searchsorted(times, event.start_ns))
        end = len(times) if event.end_ns is None else int(np.searchsorted(times, event.end_ns))
        words[begin : max(end, begin + 1), 0] |= np.uint16(1 << bit)
    return names, words


def _analog(channel: Channel, scale: float, codes: NDArray[np.int16], ratios: Mapping[str, float]) -> AnalogChannel:
    there = codes[codes != _MISSING]
    return AnalogChannel(
        name=_text(channel.name),
        phase=str(channel.phase),
        component=str(channel.quantity),
        unit="V" if channel.quantity is Quantity.VOLTAGE else "A",
        a=scale,
        skew=channel.skew,
        minimum=float(there.min()) if there.size else 0.0,
        maximum=float(there.max()) if there.size else 0.0,
        primary=ratios.get(channel.name, 1.0),
        secondary=1.0,
    )


def _time(blocks: Sequence[SampleBlock]) -> tuple[float, bool]:
    """Return the largest uncertainty of the time stamps [s], and whether the clock followed UTC throughout."""
    free = any(block.flags & SampleFlag.UNSYNCHRONISED for block in blocks)
    return max(block.time_uncertainty for block in blocks), not free


def _summary(span: Span, start: StartRecorder, channels: Sequence[Channel]) -> str:
    """Say in a few lines for people what this is."""
    lines = [f"device {start.device}, terminal {start.terminal}, recording {span.id}"]
    lines += [
        f"{event.kind} {'/'.join(event.phases) or 'all phases'}, {event.severity}: {time_text(event.start_ns)} to "
        f"{time_text(event.end_ns) if event.end_ns is not None else 'an end not told yet'}"
        for event in span.events
    ]
    lines += [
        f"channel {channel.name}: standard uncertainty {100 * channel.gain_uncertainty:g} %, "
        f"{1e3 * channel.phase_uncertainty:g} mrad"
        for channel in channels
        if channel.gain_uncertainty or channel.phase_uncertainty
    ]
    return "\n".join(lines)


def _text(text: str) -> str:
    """Write a name as a field of the format takes it."""
    return "".join(" " if mark in ",\r\n\x1a\x00" else mark for mark in text).strip()[:64]
