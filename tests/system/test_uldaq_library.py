"""The board's library and its wheel: what they say of each model, and what is told where one of them is missing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hardware.errors import SourceNotFound
from hardware.mcc_boards import MODELS, Wiring
from hardware.mcc_spans import Span
from hardware.source import SourceRequest
from hardware.uldaq_library import UldaqLibrary
from hardware.uldaq_source import UldaqSource
from tests.support.uldaq_boards import Boards, loaded_boards, wired

REQUEST = SourceRequest(6400.0, wired())
ROOT = Path(__file__).parents[2]


@pytest.fixture
def boards() -> Boards:
    boards = loaded_boards()
    boards.reset()
    return boards


def test_the_table_agrees_with_what_the_library_says_of_each_model(boards: Boards) -> None:
    library = UldaqLibrary()
    for number, model in enumerate(MODELS):
        boards.reset()
        boards.plug_in(f"{number:04X}", product=model.product_ids[0])
        found = library.inventory()[0]
        assert found.product == model.name
        wheel = library.wheel
        device = wheel.DaqDevice(found.descriptor)
        info = device.get_ai_device().get_info()
        modes = {
            Wiring.SINGLE_ENDED: wheel.AiInputMode.SINGLE_ENDED,
            Wiring.DIFFERENTIAL: wheel.AiInputMode.DIFFERENTIAL,
        }
        assert info.get_resolution() == model.bits
        assert info.get_max_scan_rate() == model.rate
        assert info.get_max_throughput() == model.throughput
        assert info.get_fifo_size() == model.fifo * (4 if model.bits > 16 else 2)
        for wiring, mode in modes.items():
            assert info.get_num_chans_by_mode(mode) == model.inputs.get(wiring, 0)
            if info.get_num_chans_by_mode(mode):
                assert {span_of(one) for one in info.get_ranges(mode)} == set(model.ranges[wiring])
        device.release()


def span_of(member: Any) -> Span:
    """Read the library's name of a range: BIP2PT5VOLTS."""
    volts = float(member.name[3:].removesuffix("VOLTS").replace("PT", "."))
    return Span(0.0 if member.name.startswith("UNI") else -volts, volts)


def test_a_missing_library_is_told_with_how_to_get_it() -> None:
    code = (
        "from hardware.uldaq_source import UldaqSource as S\n"
        "from hardware.errors import SourceNotFound\n"
        "from hardware.source import SourceRequest\n"
        "source = S({})\n"
        "try:\n    source.start(SourceRequest(3200.0))\n"
        "except SourceNotFound as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    if done.stdout.startswith("source uldaq: expected a board"):
        return  # the real library is installed on this machine
    assert "expected libuldaq 1.2 or newer, found libuldaq.so: cannot open shared object file" in done.stdout
    assert "install it as hardware/README.md says" in done.stdout


def test_a_wheel_that_is_not_installed_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uldaq", None)
    with pytest.raises(SourceNotFound, match=r"expected the Python package uldaq.*pip install .*/usr/local/lib/tresma"):
        UldaqSource({}).start(REQUEST)
