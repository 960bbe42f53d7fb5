"""Every source, built in or foreign, keeps the same protocol; and the test of it finds those that do not."""

import time
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms.api.samples import Phase, Quantity, SampleBlock
from hardware.comtrade import write_recording
from hardware.conformance import check_source
from hardware.errors import SourceError, SourceNotFound
from hardware.registry import GROUP, drivers, open_source
from hardware.simulated_source import SimulatedSource
from hardware.source import ChannelRequest, SourcePlan, SourceRequest, WaveformSource
from tests.support.lab_board import STEP, volts_of
from tests.support.recordings import real_recording, three_phase

PHASES = (Phase.A, Phase.B, Phase.C)
WIRED = tuple(
    ChannelRequest(f"{letter}{phase.lower()}", quantity, phase, 2 * k + place, ratio=ratio)
    for place, (letter, quantity, ratio) in enumerate((("u", Quantity.VOLTAGE, 100.0), ("i", Quantity.CURRENT, 2.0)))
    for k, phase in enumerate(PHASES)
)


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install packages that offer drivers, as a packager would: by their metadata."""

    def install(package: str, **offered: str) -> None:
        folder = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name.replace('_', '-')} = {place}" for name, place in offered.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


@pytest.mark.parametrize("pace", ["real-time", "as-fast-as-possible"])
@pytest.mark.parametrize(
    "options", [{}, {"bits": 12, "losses": [{"start": 0.1, "duration": 0.03}], "voltage_noise": 1.0}]
)
def test_the_simulated_source_conforms(options: dict[str, Any], pace: str) -> None:
    check_source(
        lambda: open_source("simulated", {**options, "pace": pace}), SourceRequest(6400.0), blocks=12
    ).raise_if_failed()


def test_the_simulated_source_conforms_with_channels_named() -> None:
    channels = tuple(replace(channel, input=channel.name) for channel in WIRED)
    check_source(lambda: open_source("simulated", {}), SourceRequest(3200.0, channels), blocks=6).raise_if_failed()


@pytest.mark.parametrize("pace", ["real-time", "as-fast-as-possible"])
def test_the_recorded_source_conforms(tmp_path: Path, pace: str) -> None:
    write_recording(tmp_path / "r.cfg", three_phase(rates=((3200.0, 320), (200.0, 330), (3200.0, 650))))
    check_source(
        lambda: open_source("recorded", {"path": str(tmp_path / "r.cfg"), "pace": pace, "repeat": True}),
        SourceRequest(6400.0),
        blocks=12 if pace == "real-time" else 40,
    ).raise_if_failed()


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["xtz.cfg", "ymz.cfg", "test1.cfg", "keating_1999.CFG"])
def test_real_recordings_conform(name: str) -> None:
    options = {"path": str(real_recording(name)), "pace": "as-fast-as-possible"}
    check_source(lambda: open_source("recorded", options), SourceRequest(6400.0), blocks=500).raise_if_failed()


def test_a_laboratorys_own_board_comes_in_by_its_entry_point_and_conforms(laboratory: Callable[..., None]) -> None:
    laboratory("lab-drivers", lab_board="tests.support.lab_board:LabBoard")
    assert "lab-board" in drivers()

    def really_taken(block: SampleBlock) -> bool:
        volts = volts_of(block.first_index + np.arange(block.n_samples), 6)
        factors = np.array([[100.0]] * 3 + [[2.0]] * 3)
        return np.allclose(block.values, volts * factors, atol=STEP)

    report = check_source(
        lambda: open_source("lab-board", {"serial": "7"}),
        SourceRequest(500e3 / 6, WIRED, block_duration=0.01),
        bad_requests=(SourceRequest(500e3, WIRED), SourceRequest(1000.0)),
        reference=really_taken,
    )
    report.raise_if_failed()
    assert "no sample is invented" in str(report)
    with pytest.raises(SourceError, match=r"source lab-board: options\.serial: expected a text"):
        open_source("lab-board", {})


def test_an_unknown_driver_is_told_with_those_there_are(laboratory: Callable[..., None]) -> None:
    laboratory("lab-drivers", lab_board="tests.support.lab_board:LabBoard")
    with pytest.raises(
        SourceNotFound, match=r"among lab-board, .*recorded, simulated.*; found lab_bord; did you mean lab-b"
    ):
        open_source("lab_bord", {})
    with pytest.raises(SourceNotFound, match=r"install the package that offers it .group tresma.sources."):
        open_source("oscilloscope", {})


def test_a_driver_that_cannot_be_loaded_says_why(laboratory: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "broken_driver.py").write_text("raise OSError('libboard.so: cannot open shared object file')\n")
    laboratory(
        "lab-drivers", broken="broken_driver:Board", gone="no_such_module:Board", nothing="math:Board",
        number="math:pi", poor="builtins:dict",
    )  # fmt: skip
    for driver, reason in (
        ("broken", "of lab-drivers to load, found OSError: libboard.so: cannot open shared object file"),
        ("gone", "found ModuleNotFoundError: No module named 'no_such_module'"),
        ("nothing", "found AttributeError"),
        ("number", "expected a class at math:pi, found 3.14"),
        ("poor", "expected a waveform source, found one without info, start, read, stop"),
    ):
        with pytest.raises(SourceNotFound) as caught:
            open_source(driver, {})
        assert reason in str(caught.value)


def test_one_name_offered_twice_is_refused(laboratory: Callable[..., None]) -> None:
    laboratory("lab-drivers", simulated="tests.support.lab_board:LabBoard")
    with pytest.raises(
        SourceNotFound, match=r"expected one driver simulated, found 2: .*lab-drivers.*remove all but one"
    ):
        open_source("simulated", {})


def test_the_drivers_known_without_installation_are_those_the_package_declares() -> None:
    setup = ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    lines = [line.split("=") for line in setup["options.entry_points"][GROUP].split("\n") if line]
    declared = {name.strip(): place.strip() for name, place in lines}
    known = {name: points[0].value for name, points in drivers().items() if name in declared}
    assert known == declared
    assert all(isinstance(point, EntryPoint) for points in drivers().values() for point in points)


class _Blocking(SimulatedSource):
    def read(self, timeout: float) -> SampleBlock | None:
        time.sleep(timeout + 0.3)
        return super().read(0.0)


class _Repeating(SimulatedSource):
    def read(self, timeout: float) -> SampleBlock | None:
        block = super().read(timeout)
        if block is None or block.first_index < 256:
            return block
        return replace(block, first_index=block.first_index - 1)


class _Unsaid(SimulatedSource):
    def read(self, timeout: float) -> SampleBlock | None:
        block = super().read(timeout)
        return None if block is None else replace(block, flags=block.flags & 0)


class _Reusing(SimulatedSource):
    _buffer = np.zeros((6, 128))

    def read(self, timeout: float) -> SampleBlock | None:
        block = super().read(timeout)
        if block is None:
            return None
        self._buffer[:] = block.values
        return replace(block, values=self._buffer)


class _Agreeable(SimulatedSource):
    def start(self, request: SourceRequest) -> SourcePlan:  # noqa: ARG002 - that is its fault
        return super().start(SourceRequest(6400.0))


class _Once(SimulatedSource):
    def stop(self) -> None:
        """Forget to stop."""


@pytest.mark.parametrize(
    ("source", "options", "finding"),
    [
        (_Blocking, {}, "a read keeps to its timeout"),
        (_Repeating, {"pace": "as-fast-as-possible"}, "first run: index"),
        (_Unsaid, {"pace": "as-fast-as-possible", "losses": [{"start": 0.1, "duration": 0.1}]}, "loss is flagged"),
        (_Reusing, {"pace": "as-fast-as-possible", "frequency": 50.3}, "a block stays as it was"),
        (_Agreeable, {"pace": "as-fast-as-possible"}, "refuses sample_rate"),
        (_Once, {"pace": "as-fast-as-possible"}, "second run, after a stop: starts"),
    ],
)
def test_sources_that_break_a_rule_are_found(
    source: Callable[[Mapping[str, Any]], WaveformSource], options: dict[str, Any], finding: str
) -> None:
    report = check_source(lambda: source(options), SourceRequest(6400.0), blocks=12)
    assert any(finding in found.rule for found in report.failed), str(report)
    with pytest.raises(AssertionError, match="does not do what every source does"):
        report.raise_if_failed()


def test_a_source_that_cannot_be_made_is_one_finding() -> None:
    report = check_source(lambda: open_source("simulated", {"bits": 99}), SourceRequest(6400.0))
    assert [finding.rule for finding in report.failed] == ["made"]
