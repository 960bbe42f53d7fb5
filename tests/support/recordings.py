"""Recordings for tests: small ones made here, and where the real ones are."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from hardware.comtrade_model import AnalogChannel, Configuration, DeclaredRate, DigitalChannel, Recording

START_NS = 1_700_000_000_123_456_000


def recordings_folder() -> Path | None:
    """Return the folder of the real recordings; None where there is none."""
    stated = os.environ.get("TRESMA_RECORDINGS")
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "waveforms"
    folder = Path(stated) if stated else beside
    return folder if folder.is_dir() else None


def real_recording(name: str) -> Path:
    """Return the path of a real recording by the name of its file."""
    folder = recordings_folder()
    assert folder is not None, "a test that needs real recordings carries the marker `recordings`"
    (path,) = folder.glob(f"*/{name}")
    return path


def three_phase(
    *,
    n_samples: int = 200,
    rates: tuple[tuple[float, int], ...] | None = None,
    data_format: str = "BINARY",
    revision: int = 1999,
    skews: tuple[float, ...] = (0.0,) * 6,
    **changes: object,
) -> Recording:
    """Make a recording of 50 Hz voltages and currents in secondary values: 57.7 V (2200:1) and 1 A (240:1)."""
    table = rates if rates is not None else ((1000.0, n_samples),)
    n_samples = table[-1][1]
    befores = (0, *(last for _, last in table[:-1]))
    seconds = np.concatenate(
        [np.full(last - before, 1 / rate) for (rate, last), before in zip(table, befores, strict=True)]
    ).cumsum()
    seconds -= seconds[0]
    # The step between two samples belongs to the rate of the one before.
    edges = [item[1] for item in table[:-1]]
    for (rate, _), edge in zip(table, edges, strict=False):
        seconds[edge:] += 1 / rate - (seconds[edge] - seconds[edge - 1])
    channels, rows = [], []
    for position, (name, phase, unit) in enumerate(
        (f"{letter}{phase}", phase.upper(), unit) for letter, unit in (("U", "V"), ("I", "A")) for phase in "abc"
    ):
        peak = 57.735 * 2**0.5 if unit == "V" else 2**0.5
        a = peak / 20_000
        ratio = (2200.0, 1.0) if unit == "V" else (1200.0, 5.0)
        channels.append(
            AnalogChannel(
                f"Line 7 {name}", phase, "Line 7", unit, a, 0.0, skews[position],
                primary=ratio[0], secondary=ratio[1], is_primary=False,
            )
        )  # fmt: skip
        angle = 2 * np.pi * (50 * (seconds + skews[position]) - position % 3 / 3)
        rows.append(np.rint(20_000 * np.cos(angle)))
    codes = np.array(rows)
    code_type = {"BINARY": np.int16, "BINARY32": np.int32, "FLOAT32": np.float32, "ASCII": np.float64}[data_format]
    states = np.arange(n_samples)
    config = Configuration(
        station="Substation 3",
        device="Recorder",
        revision=revision,
        analog=tuple(channels),
        digital=(DigitalChannel("Trip"), DigitalChannel("Start", "A", "Line 7", 1)),
        frequency=50.0,
        rates=tuple(DeclaredRate(rate, last) for rate, last in table),
        start_ns=START_NS,
        trigger_ns=START_NS + 50_000_000,
        data_format=data_format,  # type: ignore[arg-type]
    )
    return Recording(
        replace(config, **changes),  # type: ignore[arg-type]
        codes.astype(code_type),
        np.rint(seconds * 1e6),
        ((states >= 60).astype(np.uint16) + 2 * (states < 60).astype(np.uint16)).reshape(-1, 1),
        states + 1,
    )
