"""
From an author's folder to a package: a wheel whose bytes depend on nothing but the files in it.

The author writes ``algorithm.toml`` with what only he can say (entry, release, limits, runtime, vendored packages);
what the class says of itself is asked of the class (`description`), so that the two cannot differ. Files are stored
sorted, undated and uncompressed: compressors differ between machines, and a signature covers bytes.
"""

import io
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.forms import read_struct
from algorithms.api.manifest import AlgorithmInfo, Limits, Manifest, Vendored
from device_catalog.contract.packages import (
    MANIFEST_NAME,
    MAXIMUM_FILES,
    MAXIMUM_UNPACKED,
    PURE,
    Package,
    PackageError,
    package_name,
    read_package,
    record_line,
    tree_digest,
)
from device_catalog.packages.description import describe
from device_catalog.packages.toml_text import toml_text

_left_out = ("__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache")


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an author's ``algorithm.toml`` says; the rest of the manifest is the class's own word."""

    entry: str
    release: int = 1
    limits: Limits = Limits()
    runtime: tuple[str, ...] = ("numpy",)
    vendored: tuple[Vendored, ...] = ()


def read_source(folder: Path) -> Source:
    """
    Read ``algorithm.toml`` of an author's folder.

    Raises
    ------
    PackageError
        With every problem found.
    """
    path = folder / MANIFEST_NAME
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        remedy = "`tresma algorithm new` makes a folder to start from"
        raise PackageError([Problem(str(path), "a file", error.strerror or str(error), remedy)]) from error
    except (ValueError, RecursionError) as error:
        raise PackageError([Problem(str(path), "TOML", shortened(str(error)))]) from error
    source, problems = read_struct(Source, document)
    if source is None:
        raise PackageError(problems)
    if ":" not in source.entry or not all(part.isidentifier() for part in source.entry.replace(":", ".").split(".")):
        raise PackageError([Problem("entry", "package.module:Class", shortened(source.entry))])
    return source


def manifest_of(folder: Path) -> Manifest:
    """
    Put together what `folder` and its class say.

    Raises
    ------
    PackageError
    """
    source = read_source(folder)
    files = _files(folder, source)
    vendored = tuple(msgspec.structs.replace(one, sha256=tree_digest(files, one.path)) for one in source.vendored)
    info = describe(folder, source.entry)
    return Manifest(info, source.entry, source.release, source.limits, source.runtime, vendored)


def pack(folder: Path, tag: str = PURE) -> tuple[Package, bytes]:
    """
    Make a package of an author's folder.

    Parameters
    ----------
    folder : pathlib.Path
    tag : str
        What it is for; compiled code needs one that names its platform, such as ``cp311-abi3-linux_aarch64``.

    Returns
    -------
    Package
        What `read_package` finds in it.
    bytes

    Raises
    ------
    PackageError
        With every problem found.
    """
    manifest = manifest_of(folder)
    files = _files(folder, read_source(folder))
    information = f"{package_name(manifest.info.name, manifest.info.version).split('-py3-')[0]}.dist-info"
    files[f"{information}/METADATA"] = _metadata(manifest).encode()
    files[f"{information}/WHEEL"] = _wheel(tag).encode()
    files[f"{information}/{MANIFEST_NAME}"] = toml_text(_plain(manifest)).encode()
    entries = f"[tresma.algorithms]\n{manifest.info.name} = {manifest.entry}\n"
    files[f"{information}/entry_points.txt"] = entries.encode()
    record = "".join(record_line(path, content) for path, content in sorted(files.items()))
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    data = _zipped(files)
    return read_package(package_name(manifest.info.name, manifest.info.version, tag), data), data


def _plain(manifest: Manifest) -> dict[str, Any]:
    plain: dict[str, Any] = _without_nothing(msgspec.to_builtins(manifest))
    return plain


def _without_nothing(value: Any) -> Any:
    """Leave out what is None: TOML has no word for it, and every such field has that as its default."""
    if isinstance(value, dict):
        return {key: _without_nothing(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_without_nothing(one) for one in value]
    return value


def _files(folder: Path, source: Source) -> dict[str, bytes]:
    tops = {source.entry.partition(":")[0].partition(".")[0]} | {one.path.partition("/")[0] for one in source.vendored}
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    total = 0
    for top in sorted(tops):
        root = folder / top
        single = folder / f"{top}.py"
        paths = [single] if single.is_file() else sorted(root.rglob("*"))
        for path in paths:
            name = path.relative_to(folder).as_posix()
            if path.suffix == ".pyc" or any(part in _left_out for part in path.parts[len(folder.parts) :]):
                continue
            if path.is_symlink():
                problems.append(Problem(name, "a file", "a symbolic link", "copy what it leads to"))
            elif path.is_file():
                total += path.stat().st_size
                if len(files) >= MAXIMUM_FILES or total > MAXIMUM_UNPACKED:
                    expected = f"at most {MAXIMUM_FILES} files of {MAXIMUM_UNPACKED} bytes together"
                    raise PackageError([Problem(str(folder), expected, "more")])
                files[name] = path.read_bytes()
        if not paths:
            problems.append(Problem("entry", f"a package {top} in {folder}", "none"))
    if problems:
        raise PackageError(problems)
    return files


def _metadata(manifest: Manifest) -> str:
    needs = "".join(f"Requires-Dist: {package}\n" for package in manifest.runtime)
    info: AlgorithmInfo = manifest.info
    summary = " ".join(info.summary.split())
    return f"Metadata-Version: 2.1\nName: {info.name}\nVersion: {info.version}\nSummary: {summary}\n{needs}"


def _wheel(tag: str) -> str:
    pure = "true" if tag == PURE else "false"
    return f"Wheel-Version: 1.0\nGenerator: tresma\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, content in sorted(files.items()):
            entry = zipfile.ZipInfo(path)  # dated 1980, the earliest there is
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
