"""
``tresma algorithm``: write one, check it, pack it, look into a package.

Nothing here needs a catalog. What a package must be stands in `device_catalog.contract.packages`; how one is made in
`device_catalog.packages`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from algorithms.api.errors import shortened
from algorithms.api.settings import Setting
from device_catalog.contract.packages import MAXIMUM_PACKAGE, PURE, Package, PackageError, read_package
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import note, say, say_json
from device_catalog.packages.packing import pack
from device_catalog.packages.skeleton import write_skeleton

AddCommand = Callable[..., argparse.ArgumentParser]

_NEW = "example:\n  tresma algorithm new voltage-band && cd voltage-band && pytest"
_PACK = "example:\n  tresma algorithm pack voltage-band -o .        writes ./voltage_band-0.1.0-py3-none-any.whl"
_INSPECT = "example:\n  tresma algorithm inspect voltage_band-0.1.0-py3-none-any.whl"


def add_commands(subjects: Any, command: AddCommand, epilog: str) -> None:
    """Add ``algorithm`` with its commands to the command line."""
    subject = subjects.add_parser("algorithm", help="write, check, pack and inspect algorithms", epilog=epilog)
    commands = subject.add_subparsers(required=True, metavar="new|pack|inspect")

    new = command(commands, "new", "write a complete, tested package to start from", _NEW)
    new.add_argument("name", metavar="NAME", help="such as voltage-band")
    new.add_argument("--in", dest="parent", type=Path, default=Path(), metavar="FOLDER", help="where (default: here)")
    new.set_defaults(command=_new)

    packing = command(commands, "pack", "make a package: the same bytes from the same files, on any machine", _PACK)
    packing.add_argument("folder", type=Path, metavar="FOLDER")
    packing.add_argument("--output", "-o", type=Path, metavar="FILE", help="a file or a folder (default: here)")
    packing.add_argument("--tag", default=PURE, help=f"what it runs on (default {PURE}); for compiled code only")
    packing.set_defaults(command=_pack)

    inspecting = command(commands, "inspect", "look into a package, without running anything of it", _INSPECT)
    inspecting.add_argument("file", type=Path, metavar="FILE")
    inspecting.set_defaults(command=_inspect)


def read_file(path: Path, most: int = MAXIMUM_PACKAGE) -> bytes:
    """
    Read a file as far as it may go.

    Raises
    ------
    UsageError
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
    if len(data) > most:
        raise UsageError(f"{path}: expected at most {most} bytes, found more")
    return data


def judged(path: Path) -> tuple[Package, bytes]:
    """
    Read a package that is right.

    Raises
    ------
    OperatorError
        With every problem found.
    """
    data = read_file(path)
    try:
        return read_package(path.name, data), data
    except PackageError as error:
        raise OperatorError(f"{path} is no package that a meter would take", error.problems) from error


def _new(options: argparse.Namespace) -> None:
    try:
        folder = write_skeleton(options.name, options.parent)
    except PackageError as error:
        raise UsageError("this cannot be made", error.problems) from error
    if options.json:
        say_json({"folder": str(folder)})
        return
    say(f"{folder} is a whole algorithm with its tests; next: cd {folder} && pytest")


def _pack(options: argparse.Namespace) -> None:
    try:
        package, data = pack(options.folder, options.tag)
    except PackageError as error:
        raise OperatorError(f"{options.folder} cannot be packed", error.problems) from error
    target = options.output or Path()
    if target.is_dir():
        target /= package.file_name
    elif target.name != package.file_name:
        raise UsageError(f"a package's name tells what it is: name it {package.file_name}, or give a folder")
    try:
        target.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{target}: expected a file that can be written, found: {error.strerror}") from error
    if options.json:
        say_json({"file": str(target), "sha256": package.sha256, "length": package.length})
        return
    say(f"{target}: {package.length} bytes, SHA-256 {package.sha256}")


def _inspect(options: argparse.Namespace) -> None:
    package, _ = judged(options.file)
    if options.json:
        say_json(package)
        return
    manifest, info = package.manifest, package.manifest.info
    limits = manifest.limits
    tick = f", a tick every {info.tick_interval:g} s" if info.tick_interval else ""
    allowed = (
        f"{limits.memory / 2**20:g} MiB, {limits.processor:g} of a core, {limits.records_per_second:g} records/s of "
        f"{limits.record_size} bytes, {limits.response:g} s without progress"
    )
    say(f"{info.name} {info.version}, release {manifest.release}: {info.summary}")
    rows = [
        ("package", f"{package.length} bytes, {len(package.files)} files, for {package.tag}"),
        ("sha256", package.sha256),
        ("interface", f"version {info.api_version}"),
        ("class", manifest.entry),
        ("consumes", ", ".join(info.consumes) or "nothing"),
        ("produces", ", ".join((*info.produces, *info.contents)) or "nothing"),
        ("network", "needed" if info.needs_network else "used where there is one" if info.uses_network else "not used"),
        ("time", f"{1e3 * info.time_budget:g} ms a call{tick}"),
        ("limits", allowed),
        ("runtime", ", ".join(manifest.runtime) or "nothing"),
        *(("vendored", f"{one.name} {one.version} in {one.path}, {one.sha256[:16]}") for one in manifest.vendored),
        *(("setting", f"{one.name}: {one.expectation()}{_default(one)}; {one.description}") for one in info.settings),
    ]
    for name, text in rows:
        say(f"  {name:<10} {text}")
    note("every rule of a package holds")


def _default(setting: Setting) -> str:
    return ", must be given" if setting.default is msgspec.UNSET else f", default {shortened(setting.default, 40)}"
