"""Imagined boards behind the unmodified wheel keep the protocol of every source, and what they deliver was measured."""

import numpy as np
import pytest

from algorithms.api.samples import SampleBlock
from hardware.conformance import check_source
from hardware.registry import open_source
from hardware.source import SourceRequest
from tests.support.uldaq_boards import AMPLITUDES, Boards, loaded_boards, wired


@pytest.fixture
def boards() -> Boards:
    boards = loaded_boards()
    boards.reset()
    return boards


def possible(block: SampleBlock) -> bool:
    """Whether the six inputs could have shown this: sines of the amplitudes that are there."""
    peaks = np.abs(block.values).max(axis=1) / np.array([100.0] * 3 + [2.0] * 3)
    return bool((peaks < np.array(AMPLITUDES) + 0.01).all() and (peaks > 0.5 * np.array(AMPLITUDES)).all())


@pytest.mark.parametrize(
    ("product", "options"),
    [(0x12B, {}), (0xEA, {"range": "+-5"}), (0x110, {"input_mode": "differential"})],
    ids=["USB-202", "USB-1608FS-Plus", "USB-1608G"],
)
def test_a_board_conforms(boards: Boards, product: int, options: dict[str, str]) -> None:
    boards.plug_in(product=product)
    report = check_source(
        lambda: open_source("uldaq", options),
        SourceRequest(6400.0, wired()),
        blocks=12,
        bad_requests=(SourceRequest(6400.0), SourceRequest(300e3, wired())),
        reference=possible,
    )
    report.raise_if_failed()
    assert "no sample is invented" in str(report)
