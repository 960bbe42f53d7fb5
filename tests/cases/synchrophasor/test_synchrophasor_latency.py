"""When a frame comes out after its instant: half a window and the rest of a block, within the standard's limit."""

import pytest

from tests.support.synchrophasor import bench, latencies
from tests.support.synchrophasor_limits import Service


@pytest.mark.parametrize("nominal", [50.0, 60.0])
@pytest.mark.parametrize(("performance_class", "cycles"), [("P", 3), ("M", 10)])
@pytest.mark.parametrize("milliseconds", [1, 5])
def test_blocks_of_up_to_5_ms_keep_the_reporting_latency(performance_class, cycles, nominal, milliseconds):
    """P: 2 frames, M: 7 frames; what a processor needs comes on top and is left to the benchmark."""
    service = Service(performance_class, nominal, int(nominal))
    board = bench(6400.0, 0)
    board.block = round(6400.0 * milliseconds / 1e3)
    found = latencies({"performance_class": performance_class}, board, service, 0.5)
    assert found.max() <= service.latency
    assert found.max() <= 0.5e3 * cycles / nominal + milliseconds + 0.5
    assert found.min() >= 0.5e3 * cycles / nominal - 0.2


def test_the_10_ms_stage_of_a_usb_board_leaves_class_p_no_time_at_50_hz():
    """30 ms of window and 10 ms of block are the 40 ms allowed, before anything was computed."""
    service = Service("P", 50.0, 50)
    board = bench(6400.0, 0)
    board.block = 64
    found = latencies({"performance_class": "P"}, board, service, 0.5)
    assert 39.0 < found.max() <= 40.5
