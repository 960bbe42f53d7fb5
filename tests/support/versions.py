"""Versions of algorithms as packages: newer phasors, and a counter of frames, each with a fault of its own or none."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind
from device_catalog.contract.packages import Package, package_name, read_package
from device_catalog.packages.toml_text import toml_text
from tests.support.agent import Plant
from tests.support.packages import with_record, zipped
from tests.support.trust import Dso

_COUNT = """
import json
import msgspec
import time
from algorithms.api.algorithm import Algorithm
from algorithms.api.errors import CheckpointError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, Result

class Version(Algorithm):
    info = AlgorithmInfo("@NAME@", "@VERSION@", "Counts frames.", (Kind.FRAME,), (Kind.RESULT,), ("@CONTENT@",),
                         checkpoint_interval=60.0)

    def start(self, context, restored):
        self.terminal = context.terminal
        self.count = json.loads(restored)["count"] if restored else 0
        self.here = 0
        self.hoard = []
        @START@

    def process(self, record):
        self.count += 1
        self.here += 1
        @PROCESS@
        payload = {"count": self.count, "version": self.info.version}
        return [Result("@CONTENT@", self.terminal, record.time_ns, payload, urgent=True)]

    def checkpoint(self):
        return json.dumps({"count": self.count}).encode()
"""

_PHASORS = """
import msgspec
from algorithms.builtin.phasors import Phasors

class Version(Phasors):
    info = msgspec.structs.replace(Phasors.info, version="@VERSION@")

    def process(self, record):
        records = super().process(record)
        @PROCESS@
        return records
"""


def count_version(
    version: str, release: int, *, name: str = "count", start: str = "", process: str = ""
) -> tuple[Package, bytes]:
    """Make a version of the counter; `start` and `process` are put into its calls."""
    kinds: Any = {"consumes": (Kind.FRAME,), "produces": (Kind.RESULT,), "contents": (f"{name}/1",)}
    info = AlgorithmInfo(name, version, "Counts frames.", **kinds, checkpoint_interval=60.0)
    return _packed(
        info, release, _filled(_COUNT, NAME=name, CONTENT=f"{name}/1", VERSION=version, START=start, PROCESS=process)
    )


def version_with(
    version: str,
    release: int,
    *,
    name: str,
    first: str,
    start: str = "",
    files: dict[str, bytes] | None = None,
    content: str = "",
) -> tuple[Package, bytes]:
    """
    Make a version of the counter with a beginning of its own, and further files.

    Parameters
    ----------
    version : str
    release : int
    name : str
        Of the algorithm; ``NAME_versions`` is its Python package.
    first : str
        Comes before everything else in the module of its class.
    start : str
        Put into its call.
    files : dict, optional
        By their place in its Python package.
    content : str, optional
        Of its results; ``NAME/1`` by default.
    """
    content = content or f"{name}/1"
    kinds: Any = {"consumes": (Kind.FRAME,), "produces": (Kind.RESULT,), "contents": (content,)}
    info = AlgorithmInfo(name, version, "Counts frames.", **kinds, checkpoint_interval=60.0)
    source = _filled(_COUNT, NAME=name, CONTENT=content, VERSION=version, START=start, PROCESS="")
    return _packed(info, release, first.encode() + b"\n" + source, files)


def phasors_version(version: str, release: int, *, process: str = "") -> tuple[Package, bytes]:
    """Make a newer version of the phasor estimator; `process` may change its ``records``."""
    from algorithms.builtin.phasors import Phasors

    info = msgspec.structs.replace(Phasors.info, version=version)
    return _packed(info, release, _filled(_PHASORS, VERSION=version, PROCESS=process))


def reference(package: Package) -> dict[str, Any]:
    """Name a package as a configuration does."""
    return {"release": package.manifest.release, "length": package.length, "sha256": package.sha256}


def assigned(package: Package, **fields: Any) -> dict[str, Any]:
    """Write the assignment of a package."""
    info = package.manifest.info
    return {"algorithm": info.name, "version": info.version, "package": reference(package), **fields}


class Repository:
    """A DSO's repository, pushed to a plant's catalog with every release."""

    def __init__(self, folder: Path, plant: Plant) -> None:
        self._dso = Dso(folder, datetime.now(UTC))
        self._plant = plant
        self.root_file = folder / "metadata" / "1.root.json"

    def release(self, *packages: tuple[Package, bytes]) -> None:
        """Sign packages and push them."""
        now = datetime.now(UTC)
        for package, data in packages:
            self._dso.at(now).add(package, data)
        self._dso.confirm(now)
        catalog = self._plant.catalog
        command = (sys.executable, "-m", "device_catalog.operator", "repository", "push", str(self._dso.folder))
        options = ("--catalog", catalog.url, "--token-file", str(catalog.state / "operator.token"))
        subprocess.run([*command, *options], check=True, capture_output=True, timeout=60)

    @property
    def prefix(self) -> tuple[str, ...]:
        """Put before an agent's command, so that it knows the root of trust."""
        return (shutil.which("env") or "env", f"TRESMA_ROOT_FILE={self.root_file}")


def update_of(plant: Plant, device: str, algorithm: str) -> dict[str, Any]:
    """Return where an algorithm's update stands, as the device reported it; empty where there is none."""
    reported = plant.reported(device).get("algorithms", {}).get(algorithm) or {}
    return reported.get("update") or {}


def _filled(text: str, **words: str) -> bytes:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value or "pass")
    return text.lstrip().encode()


def _packed(
    info: AlgorithmInfo, release: int, source: bytes, files: dict[str, bytes] | None = None
) -> tuple[Package, bytes]:
    top = f"{info.name}_versions"
    folder = f"{info.name}-{info.version}.dist-info"
    plain = {
        "entry": f"{top}.algorithm:Version",
        "release": release,
        "runtime": ["numpy"],
        "vendored": [],
        "info": msgspec.to_builtins(info),
        "limits": {},
    }
    files = {
        **{f"{top}/{path}": content for path, content in (files or {}).items()},
        f"{top}/__init__.py": b"",
        f"{top}/algorithm.py": source,
        f"{folder}/algorithm.toml": toml_text(_without_nothing(plain)).encode(),
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {info.name}\nVersion: {info.version}\n".encode(),
        f"{folder}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{folder}/RECORD": b"",
    }
    name, data = package_name(info.name, info.version), zipped(with_record(files))
    return read_package(name, data), data


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(one) for key, one in value.items() if one is not None}
    return [_without_nothing(one) for one in value] if isinstance(value, list | tuple) else value
