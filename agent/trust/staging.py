"""
From a verified package to a folder that can be imported from: judged, unpacked, compiled, made durable, put in place.

::

    algorithms/NAME/VERSION-SHA256/      whole, or not there at all
    algorithms/.new/                     under way; what an earlier attempt left is swept first

Rules: the folder's name appears with one rename, after every byte and every name in it is durable. A cut at any line
leaves the sets that were there. What is there already is compared with the package, and made anew where it differs.
Files and folders of a set may be read by every user, whatever the agent's own files get: an algorithm's process runs as
a user of its own, and is let in by its working folder, since the folders above stay closed to it.
"""

import os
import py_compile
import shutil
from pathlib import Path

from agent.errors import TrustError
from agent.files import sync_folder, write_durably
from device_catalog.contract.packages import Package, PackageError, contents, read_package, tags_for

SIGNER = "tresma-signer"
"""Beside a set's packages: the role that answers for it."""

_unfinished = ".new"


def judge(file_name: str, data: bytes, machine: str) -> Package:
    """
    Judge a verified file as a package for this machine.

    Parameters
    ----------
    file_name : str
    data : bytes
    machine : str
        Such as ``aarch64``.

    Raises
    ------
    TrustError
    """
    try:
        return read_package(file_name, data, tags_for(machine))
    except PackageError as error:
        raise TrustError(f"{file_name} is signed, but is no package for this meter: {error}") from error


def stage(package: Package, data: bytes, algorithms: Path, signer: str = "") -> Path:
    """
    Put a package in place.

    Parameters
    ----------
    package : Package
    data : bytes
        Its bytes.
    algorithms : pathlib.Path
        The folder of all algorithms from elsewhere.
    signer : str
        The role that answers for it; kept with the set.

    Returns
    -------
    pathlib.Path
        The folder to import from.

    Raises
    ------
    TrustError
        When there is no room, or the card cannot be written.
    """
    files = contents(data)
    if SIGNER in files:
        raise TrustError(f"expected a package without a file {SIGNER}, found one; give it another name")
    info = package.manifest.info
    final = algorithms / info.name / f"{info.version}-{package.sha256[:16]}"
    unfinished = algorithms / _unfinished
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        if final.exists():
            if _is_whole(final, files):
                if signer_of(final) != signer:
                    write_durably(final / SIGNER, signer.encode())
                return final
            shutil.rmtree(final)
        _unpack({**files, SIGNER: signer.encode()}, unfinished)
        unfinished.rename(final)
        for folder in (final.parent, algorithms, algorithms.parent):
            sync_folder(folder)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        found = error.strerror or error
        raise TrustError(f"{info.name} {info.version} cannot be put in place: {found}", passing=True) from error
    return final


def signer_of(folder: Path) -> str:
    """Say which role answers for a set; empty where that is not known."""
    try:
        return (folder / SIGNER).read_text()
    except (OSError, ValueError):
        return ""


def _unpack(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content)
    for name in files:
        if name.endswith(".py"):
            _compile(folder / name, name)
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(parent) / name, 0o644)
        Path(parent).chmod(0o755)
        sync_folder(Path(parent))


def _compile(path: Path, name: str) -> None:
    """Compile once for all starts: whoever runs it may not write here."""
    try:
        py_compile.compile(
            str(path), dfile=name, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    except (py_compile.PyCompileError, ValueError, RecursionError, MemoryError):
        return  # what is never imported may be for another Python; what is imported says so when it starts


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _sync(path: Path, mode: int) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_whole(folder: Path, files: dict[str, bytes]) -> bool:
    """Tell whether everything is there as it was signed, and nothing besides but what was compiled from it."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    strange = {
        name
        for name in found - {*files, SIGNER, f"{SIGNER}.new"}
        if "__pycache__/" not in name or not name.endswith(".pyc")
    }
    return not strange and all(
        name in found and not (folder / name).is_symlink() and (folder / name).read_bytes() == content
        for name, content in files.items()
    )
