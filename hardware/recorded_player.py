"""
From the stretches of a recording to blocks of primary volts and amperes, each with its place in index and time.

Between `comtrade_times`, which says when samples were taken, and `recorded_source`, which hands blocks on; knows no
clock.
"""

from collections.abc import Iterator

import numpy as np

from algorithms.api.samples import NANOSECONDS, Channel, SampleBlock, SampleFlag
from hardware.comtrade_model import Recording
from hardware.comtrade_times import Segment
from hardware.recorded_channels import Pick
from hardware.scaling import Scaling, described, scaling_of
from hardware.source import SourceRequest


class Player:
    """
    Turns stretches of a recording into blocks.

    Parameters
    ----------
    recording : Recording
    stretches : tuple of Segment
    picks : list of Pick
        One for each row.
    request : SourceRequest
    """

    def __init__(
        self, recording: Recording, stretches: tuple[Segment, ...], picks: list[Pick], request: SourceRequest
    ) -> None:
        self._recording = recording
        self._stretches = stretches
        self._rows = [pick.index for pick in picks]
        self._duration = request.block_duration
        calibration = scaling_of([pick.request for pick in picks])
        analog = [recording.config.analog[pick.index] for pick in picks]
        side = np.array([pick.factor for pick in picks]).reshape(-1, 1)
        self._scaling = Scaling(calibration.factor * side, calibration.constant)
        self._limit = 32767 if recording.config.data_format == "BINARY" else 0
        self.channels: tuple[Channel, ...] = tuple(
            described(
                pick.request,
                nominal_frequency=request.nominal_frequency,
                skew=channel.skew,
                step=abs(channel.a) * pick.factor if recording.config.data_format != "FLOAT32" else 0.0,
                low=(channel.b - abs(channel.a) * self._limit) * pick.factor,
                high=(channel.b + abs(channel.a) * self._limit) * pick.factor,
            )
            for pick, channel in zip(picks, analog, strict=True)
        )

    def block_samples(self, stretch: Segment) -> int:
        """Return how many samples a full block of a stretch has."""
        return max(1, round(stretch.rate * self._duration))

    def blocks(
        self, origin_ns: int, uncertainty: float, base: SampleFlag, *, repeat: bool
    ) -> Iterator[tuple[SampleBlock, float]]:
        """Yield every block with the instant at which it is complete [s after the first sample]."""
        index = 0
        offset = 0.0
        flags = SampleFlag.NONE
        rate = self._stretches[0].rate
        while True:
            end = offset
            for stretch in self._stretches:
                pause = offset + stretch.start - end
                if pause > 0.5 / min(stretch.rate, rate) and index > 0:
                    index += max(1, round(pause * stretch.rate))
                    flags |= SampleFlag.LOST
                if stretch.rate != rate:
                    flags |= SampleFlag.RATE_CHANGED
                    rate = stretch.rate
                size = self.block_samples(stretch)
                for first in range(0, stretch.count, size):
                    count = min(size, stretch.count - first)
                    start = offset + stretch.start + first / rate
                    time_ns = origin_ns + round(start * NANOSECONDS)
                    block = self._block(
                        stretch.first + first,
                        count,
                        rate,
                        index=index,
                        time_ns=time_ns,
                        uncertainty=uncertainty,
                        flags=base | flags,
                    )
                    index += count
                    flags = SampleFlag.NONE
                    yield block, start + count / rate
                end = offset + stretch.end
            if not repeat:
                return
            # One sample is left out at the seam: the waveform does not go on where it ended, and nobody is to think so.
            offset = end + 1 / self._stretches[0].rate
            index += 1
            flags |= SampleFlag.LOST

    def _block(
        self, first: int, count: int, rate: float, *, index: int, time_ns: int, uncertainty: float, flags: SampleFlag
    ) -> SampleBlock:
        samples = slice(first, first + count)
        values = self._scaling.apply(self._recording.values(self._rows, samples))
        if np.isnan(values).any():
            flags |= SampleFlag.MISSING
        if self._limit:
            # Recorders scale to their own maximum, so that one sample at the end of the range is right: two are not.
            at_end = np.abs(self._recording.codes[self._rows, samples].astype(np.int32)) == self._limit
            if (at_end[:, 1:] & at_end[:, :-1]).any():
                flags |= SampleFlag.CLIPPED
        values.flags.writeable = False
        return SampleBlock(values, self.channels, rate, index, time_ns, uncertainty, flags)
