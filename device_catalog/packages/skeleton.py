"""
The package an author starts from: small, complete, tested, and an algorithm in its own right.

``tresma algorithm new`` writes these files with the author's name in them; nothing in them has to be replaced before
the test, the check and the packer work.
"""

import re
import sys
from pathlib import Path

from algorithms.api.errors import Problem
from device_catalog.contract.packages import RUNTIME, PackageError

_name = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
"""

_SETUP = """\
[metadata]
name = @NAME@
version = 0.1.0
description = Tells when a phase voltage leaves its band

[options]
packages = find:
python_requires = >=3.11
install_requires =
    tresma

[options.packages.find]
include = @PACKAGE@, @PACKAGE@.*

[options.entry_points]
tresma.algorithms =
    @NAME@ = @PACKAGE@.algorithm:@CLASS@
"""

_MANIFEST = """\
# What only the author can say; name, version, settings, what it consumes and produces are asked of the class.
entry = "@PACKAGE@.algorithm:@CLASS@"

# Raise it with every release. A meter never goes back to a lower one.
release = 1

# Of the agent's own libraries: msgspec, numpy, scipy. Anything else is brought along:
#   [[vendored]]
#   name = "filters"
#   version = "2.1"
#   path = "@PACKAGE@/vendor/filters"
runtime = ["numpy"]

[limits]
# Private memory [bytes], share of one core, records a second, largest record [bytes], time without progress [s].
memory = 67108864
processor = 0.5
records_per_second = 200.0
record_size = 65536
response = 10.0
"""

_ALGORITHM = '''\
"""Tells when a phase voltage leaves its band, and for how long."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, MeasurementFrame, Record, Severity
from algorithms.api.samples import SampleBlock
from algorithms.api.settings import Setting, read_settings


class @CLASS@(Algorithm):
    """An event for each time that a phase was outside its band, when that ends."""

    info = AlgorithmInfo(
        name="@NAME@",
        version="0.1.0",
        summary="Tells when a phase voltage leaves its band.",
        consumes=(Kind.FRAME,),
        produces=(Kind.EVENT,),
        settings=(
            Setting(
                "band",
                "number",
                "Largest deviation from nominal that is in order.",
                unit="1",
                default=0.1,
                minimum=0.01,
                maximum=0.5,
            ),
        ),
        checkpoint_interval=60.0,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.outside: dict[str, tuple[int, float]] = {}  # phase: since when [ns UTC], farthest voltage [V]

    def start(self, context: Context, restored: bytes | None) -> None:
        band = read_settings(self.info.settings, self.settings)["band"]
        self.nominal = context.nominal_voltage
        self.most = band * self.nominal
        if restored:
            try:
                self.outside = msgspec.json.decode(restored, type=dict[str, tuple[int, float]])
            except msgspec.DecodeError as error:
                raise CheckpointError(f"expected phases with times and voltages, found: {error}") from error

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        if not isinstance(record, MeasurementFrame):
            return ()
        events = []
        for phase, reading in record.voltage.items():
            deviation = abs(reading.rms - self.nominal)
            if deviation > self.most:
                since, farthest = self.outside.get(phase, (record.time_ns, reading.rms))
                if deviation > abs(farthest - self.nominal):
                    farthest = reading.rms
                self.outside[phase] = since, farthest
            elif phase in self.outside:
                since, farthest = self.outside.pop(phase)
                evidence = {"farthest_voltage": farthest}
                events.append(
                    Event(
                        "voltage-outside-band",
                        record.terminal,
                        since,
                        record.time_ns,
                        Severity.NOTICE,
                        (phase,),
                        evidence,
                    )
                )
        return events

    def checkpoint(self) -> bytes:
        return msgspec.json.encode(self.outside)
'''

_TEST = '''\
"""What @CLASS@ does, and that it is an algorithm at all."""

from algorithms.api.algorithm import Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.readings import ChannelReading
from algorithms.api.records import AngleReference, MeasurementFrame
from @PACKAGE@.algorithm import @CLASS@

CONTEXT = Context(device="m-1", terminal="m-1", nominal_voltage=230.0)
BEGIN = 1_800_000_000_000_000_000


def frames(*voltages):
    """Make a frame every 20 ms with the voltages of phase A [V]."""
    return [
        MeasurementFrame(
            terminal="m-1",
            time_ns=BEGIN + 20_000_000 * number,
            time_uncertainty=1e-6,
            window=0.02,
            reference=AngleReference.UTC,
            frequency=None,
            rocof=None,
            voltage={"A": ChannelReading(voltage, 0.0, 0.1, 1e-4, voltage, 0.1)},
            current={},
            power={},
        )
        for number, voltage in enumerate(voltages)
    ]


def test_it_is_an_algorithm():
    """The same test that `tresma algorithm check` and every catalog runs."""
    records = frames(230.0, 180.0, 170.0, 230.0, 231.0)
    check_algorithm(@CLASS@, settings={}, context=CONTEXT, records=records).raise_if_failed()


def test_a_phase_that_was_outside_its_band_is_told_when_it_is_back():
    algorithm = @CLASS@({"band": 0.1})
    algorithm.start(CONTEXT, None)
    told = [event for frame in frames(230.0, 180.0, 170.0, 230.0) for event in algorithm.process(frame)]
    assert [(event.start_ns, event.end_ns) for event in told] == [(BEGIN + 20_000_000, BEGIN + 60_000_000)]
    assert told[0].evidence["farthest_voltage"] == 170.0
'''

_README = """\
# @NAME@

Tells when a phase voltage leaves its band. An algorithm for tresma: records in, records out.

    pip install --editable .      # with tresma installed
    pytest                        # its own tests
    tresma algorithm check .      # the test that every algorithm passes, and a run
    tresma algorithm pack . --output @PACKAGE@.whl
"""


def skeleton(name: str) -> dict[str, str]:
    """
    Write the files of a new package.

    Parameters
    ----------
    name : str
        Of the algorithm, such as ``voltage-band``.

    Returns
    -------
    dict
        Text by path.

    Raises
    ------
    PackageError
        When the name cannot be one.

    Examples
    --------
    >>> sorted(skeleton("our-dips"))[0:2]
    ['README.md', 'algorithm.toml']
    """
    package = name.replace("-", "_")
    reserved = (*RUNTIME, "agent", "algorithms", "device_catalog", "hardware", "tests")
    if not _name.fullmatch(name) or len(name) > 50 or package in reserved or package in sys.stdlib_module_names:
        expected = "a name of small letters, digits and -, not that of another package"
        raise PackageError([Problem("name", expected, name[:60], "such as voltage-band")])
    words = {"@NAME@": name, "@PACKAGE@": package, "@CLASS@": "".join(map(str.capitalize, package.split("_")))}
    files = {
        "pyproject.toml": _PYPROJECT,
        "setup.cfg": _SETUP,
        "algorithm.toml": _MANIFEST,
        "README.md": _README,
        f"{package}/__init__.py": f'"""The algorithm {name}."""\n',
        f"{package}/algorithm.py": _ALGORITHM,
        f"tests/test_{package}.py": _TEST,
    }
    for old, new in words.items():
        files = {path: text.replace(old, new) for path, text in files.items()}
    return files


def write_skeleton(name: str, parent: Path) -> Path:
    """
    Write a new package into a folder of its name.

    Raises
    ------
    PackageError
        When the name cannot be one, or the folder is there already.
    """
    files = skeleton(name)
    folder = parent / name
    try:
        folder.mkdir(parents=True)
        for path, text in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
    except OSError as error:
        found = error.strerror or str(error)
        raise PackageError([Problem(str(folder), "a folder that can be made", found, "choose another name")]) from error
    return folder
