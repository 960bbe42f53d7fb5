"""Boards where a meter meets them: in the sampler's own process, and in what an installer types."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import SourceAway, WorkerError
from agent.processes.process import Exit, ExitKind
from agent.processes.workers import Workers
from device_catalog.contract.documents import Acquisition, ChannelSetting
from tests.support.agent import Plant
from tests.support.uldaq_boards import Boards, wired

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="libuldaq is a Linux library")]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boards:
    """Boards for processes that this one starts."""
    boards = Boards(tmp_path)
    for name, value in boards.environment.items():
        monkeypatch.setenv(name, value)
    return boards


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


def acquisition(**options: Any) -> Acquisition:
    channels = tuple(
        ChannelSetting(one.name, one.quantity.value, one.phase.value, one.input, ratio=one.ratio) for one in wired()
    )
    return Acquisition("uldaq", 6400.0, options, channels=channels)


async def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


def test_a_sampler_samples_a_board_and_tells_what_was_lost_and_that_it_is_gone(boards: Boards) -> None:
    """The library is loaded in the forked process; an overrun is a loss there, an unplugged board an end."""
    serial = boards.plug_in()
    statuses: list[Any] = []
    exits: list[Exit] = []

    async def scenario() -> None:
        workers = Workers()
        await workers.start()
        try:
            sampler = await workers.start_sampler(acquisition(recovery=0.3), statuses.append, exits.append)
            assert sampler.plan.description == "USB-202 01AB"
            assert sampler.plan.sample_rate == pytest.approx(6403.22, abs=0.01)
            await until(lambda: statuses and statuses[-1].samples > 3200, "a second of samples")
            assert statuses[-1].lost == 0
            boards.set(serial, overrun=1)
            await until(lambda: statuses[-1].lost > 500, "a loss of a tenth of a second")
            boards.tell(f"unplug {serial}")
            await until(lambda: exits, "the end of the sampler")
            assert exits[0].kind is ExitKind.LOST
            assert "USB-202 01AB was lost" in exits[0].reason
            with pytest.raises(SourceAway, match="expected a board, found none; plug it in"):
                await workers.start_sampler(acquisition(), statuses.append, exits.append)
            boards.tell(f"plug {serial}")
            again = await workers.start_sampler(acquisition(), statuses.append, exits.append)
            await until(lambda: again.status.samples > 3200, "samples of the board that came back")
            with pytest.raises(WorkerError, match=r"expected \+-10 V .*found \+-1 V"):
                await workers.start_sampler(acquisition(range="+-1"), statuses.append, exits.append)
        finally:
            await workers.stop()

    asyncio.run(scenario())


def test_an_installer_sees_which_boards_there_are_and_what_stands_in_the_way(boards: Boards) -> None:
    boards.plug_in("01AB")
    boards.plug_in("02CD", product=0xEA)
    boards.set("02CD", claimed=1)
    listed = typed("boards")
    assert listed.returncode == 0, listed.stderr
    assert "[  ok  ] USB-202          01AB         12 bit, 8 single-ended inputs, +-10 V, 100 kS/s" in listed.stdout
    assert 'acquisition: {driver: uldaq, options: {serial: "01AB"}}' in listed.stdout
    assert "[FAILED] USB-1608FS-Plus  02CD" in listed.stdout
    assert "another process uses it; end that one" in listed.stdout
    boards.tell("set 01AB permission 0", "board 03EF 132")
    told = typed("boards", "--json")
    assert told.returncode == 1
    found = {board["product"]: board for board in json.loads(told.stdout)["boards"]}
    assert "install packaging/udev/60-tresma-daq.rules" in found["USB-202"]["problem"]
    assert found["USB-1608FS-Plus"]["abilities"]["rate_of_six_channels"] == pytest.approx(66666.7, abs=0.1)
    assert found["USB-TC-32"]["abilities"] is None


def test_without_a_board_the_list_says_what_to_look_at(boards: Boards) -> None:
    listed = typed("boards")
    assert listed.returncode == 1
    assert "no board is plugged in; 'lsusb -d 09db:'" in listed.stdout
    models = typed("boards", "--models", "--json")
    assert models.returncode == 0
    assert {"USB-202", "USB-1808X"} <= {model["model"] for model in json.loads(models.stdout)["models"]}
    boards.tell("board 01AB 12b")
    assert typed("boards").returncode == 0


def test_the_installers_check_passes_with_a_board_and_names_the_remedy_without(boards: Boards) -> None:
    boards.plug_in()
    channels = [
        {"name": one.name, "quantity": one.quantity.value, "phase": one.phase.value, "input": one.input,
         "ratio": 57.5 * 2**0.5 if one.name[0] == "u" else 2.0}
        for one in wired()
    ]  # fmt: skip
    with Plant() as plant:
        agent = plant.add("m-1", acquisition={"driver": "uldaq", "sample_rate": 6400, "channels": channels})
        agent.stop()
        right = typed("check", "--config", str(agent.config), "--json", "--seconds", "1")
        findings = {finding["item"]: finding for finding in json.loads(right.stdout)["findings"]}
        assert {item for item, one in findings.items() if one["verdict"] == "failed"} == set(), findings
        assert "uldaq: 6 channels" in findings["source"]["found"]
        boards.set("01AB", permission=0)
        wrong = typed("check", "--config", str(agent.config))
        assert wrong.returncode == 1
        assert "found no permission" in wrong.stdout
        assert "install packaging/udev/60-tresma-daq.rules" in wrong.stdout
