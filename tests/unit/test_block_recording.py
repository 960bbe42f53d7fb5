"""Samples of a source kept as a recording."""

import numpy as np
import pytest

from hardware.block_recording import record_blocks
from hardware.recorded_source import RecordedSource
from hardware.source import SourceRequest
from tests.support.simulated_recording import everything, simulated_blocks, write_simulated


def test_what_is_kept_reads_back_within_half_a_step_of_sixteen_bits(tmp_path):
    path = write_simulated(tmp_path / "kept.cfg")
    source = RecordedSource({"path": str(path), "pace": "as-fast-as-possible"})
    plan = source.start(SourceRequest(1.0))
    kept = np.concatenate([block.values for block in everything(source)], axis=1)
    made = np.concatenate([block.values for block in simulated_blocks(events=[])], axis=1)
    assert kept.shape == made.shape
    steps = np.max(np.abs(made), axis=1) / 32_000
    # The first half second is before the dip.
    assert np.all(np.abs(kept - made)[:, :1600] <= steps[:, None])
    assert [str(channel.phase) for channel in plan.channels] == ["A", "B", "C", "A", "B", "C"]


def test_blocks_with_a_gap_between_them_are_no_recording():
    blocks = simulated_blocks()
    with pytest.raises(ValueError, match="goes on at sample"):
        record_blocks([blocks[0], blocks[2]], station="s", device="d", nominal_frequency=50.0)


def test_nothing_is_no_recording():
    with pytest.raises(ValueError, match="at least one"):
        record_blocks([], station="s", device="d", nominal_frequency=50.0)
