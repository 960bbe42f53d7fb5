"""A second of the simulated connection with a dip of phase B, as a COMTRADE recording."""

from pathlib import Path

from hardware.block_recording import record_blocks
from hardware.comtrade import write_recording
from hardware.simulated_source import SimulatedSource
from hardware.source import EndOfRecording, SourceRequest

DIP = {"kind": "sag", "start": 0.5, "duration": 0.2, "depth": 0.4, "phases": ["B"]}


def simulated_blocks(**options):
    """Return everything a simulated source delivers, as fast as it can."""
    source = SimulatedSource(
        {"pace": "as-fast-as-possible", "start_time": "2026-01-15T12:00:00Z", "duration": 1.0, **options}
    )
    source.start(SourceRequest(3200.0))
    return everything(source)


def everything(source):
    """Return every block of a started source, then stop it."""
    blocks = []
    try:
        while True:
            block = source.read(1.0)
            if block is not None:
                blocks.append(block)
    except EndOfRecording:
        source.stop()
    return blocks


def write_simulated(path: Path) -> Path:
    """Write the recording; return its path."""
    recording = record_blocks(simulated_blocks(events=[DIP]), station="test", device="sim", nominal_frequency=50.0)
    write_recording(path, recording)
    return path
