"""
Samples that a source delivered, as a COMTRADE recording: what a laboratory or an event recorder keeps.

Between `source` and `comtrade`. Each channel is scaled to the 16 bits of the classic binary format, which every
reader understands; skews are kept. Pure.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from algorithms.api.samples import Quantity, SampleBlock
from hardware.comtrade_model import AnalogChannel, Configuration, DeclaredRate, Recording

HIGHEST_CODE = 32_000
"""Largest magnitude of a code; what lies beyond is reserved for samples that are missing."""


def record_blocks(
    blocks: Sequence[SampleBlock],
    *,
    station: str,
    device: str,
    nominal_frequency: float,
    trigger_ns: int | None = None,
) -> Recording:
    """
    Make a recording of consecutive blocks.

    Parameters
    ----------
    blocks : sequence of SampleBlock
        At least one; all of the same channels and rate, without a gap.
    station, device : str
    nominal_frequency : float
        [Hz]
    trigger_ns : int, optional
        UTC of the event; the first sample's unless given [ns].

    Raises
    ------
    ValueError
        When the blocks do not belong together.
    """
    if not blocks:
        raise ValueError("at least one block expected, found none")
    first = blocks[0]
    for before, block in pairwise(blocks):
        if block.first_index != before.end_index or block.channels != first.channels:
            raise ValueError(f"a block that goes on at sample {before.end_index} expected, found {block.first_index}")
        if block.sample_rate != first.sample_rate:
            raise ValueError(f"one sampling rate expected, found {first.sample_rate:g} and {block.sample_rate:g} Hz")
    values = np.concatenate([block.values for block in blocks], axis=1).astype(float)
    n_samples = values.shape[1]
    peaks = np.max(np.abs(values), axis=1)
    scales = np.where(peaks > 0, peaks, 1.0) / HIGHEST_CODE
    analog = tuple(
        AnalogChannel(
            name=channel.name,
            phase=str(channel.phase),
            unit="V" if channel.quantity is Quantity.VOLTAGE else "A",
            a=float(scale),
            skew=channel.skew,
        )
        for channel, scale in zip(first.channels, scales, strict=True)
    )
    config = Configuration(
        station=station,
        device=device,
        revision=1999,
        analog=analog,
        digital=(),
        frequency=nominal_frequency,
        rates=(DeclaredRate(first.sample_rate, n_samples),),
        start_ns=first.time_ns,
        trigger_ns=first.time_ns if trigger_ns is None else trigger_ns,
        data_format="BINARY",
    )
    codes = np.round(values / scales[:, None]).astype(np.int16)
    stamps = np.round(np.arange(n_samples) * 1e6 / first.sample_rate)
    return Recording(config, codes, stamps, np.zeros((n_samples, 0), dtype=np.uint16), np.arange(1, n_samples + 1))
