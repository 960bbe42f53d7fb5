"""Algorithms' packages for tests: right ones from the skeleton, and ones with anything wrong in them."""

import io
import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from device_catalog.contract.packages import contents, package_name, record_line
from device_catalog.packages.packing import pack
from device_catalog.packages.skeleton import write_skeleton

NAME = "voltage-band"
INFORMATION = "voltage_band-0.1.0.dist-info"


@cache
def right_package() -> bytes:
    """Pack the skeleton once for all tests."""
    with TemporaryDirectory() as folder:
        return pack(write_skeleton(NAME, Path(folder)))[1]


def package_of(version: str = "0.1.0", release: int = 1) -> tuple[str, bytes]:
    """Give the skeleton's package as another version or release, and the name of its file."""
    files = {
        path.replace("0.1.0", version): content.replace(b'"0.1.0"', f'"{version}"'.encode()).replace(
            b"Version: 0.1.0", f"Version: {version}".encode()
        )
        for path, content in contents(right_package()).items()
    }
    manifest = INFORMATION.replace("0.1.0", version) + "/algorithm.toml"
    files[manifest] = files[manifest].replace(b"release = 1\n", f"release = {release}\n".encode())
    return package_name(NAME, version), zipped(with_record(files))


def with_record(files: dict[str, bytes]) -> dict[str, bytes]:
    """Let RECORD fit what is there."""
    name = next(path for path in files if path.endswith(".dist-info/RECORD"))
    rest = {path: content for path, content in files.items() if path != name}
    record = "".join(record_line(path, content) for path, content in sorted(rest.items()))
    return {**rest, name: f"{record}{name},,\n".encode()}


def zipped(files: dict[str, bytes]) -> bytes:
    """Make an archive of files, whatever their names are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return buffer.getvalue()
