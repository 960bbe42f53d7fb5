"""
What an algorithm's package is, and everything that can be wrong with one: a pure function of a name and its bytes.

Where it stands: `tresma algorithm pack` makes a package and judges it, an operator's tools judge what others made, and
a meter judges again what it fetched before a byte of it is unpacked. A package is a plain wheel whose ``dist-info``
holds an ``algorithm.toml`` (`algorithms.api.manifest`).

Rules: all problems are found at once; nothing is imported or executed; what is read is limited by count, by what is
declared and by what is really there, so that a few kilobytes cannot become gigabytes.
"""

import ast
import base64
import csv
import hashlib
import io
import re
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping

import msgspec

from algorithms.api.errors import ManifestError, Problem, ProblemsError, shortened
from algorithms.api.manifest import Manifest, manifest_from_toml

MANIFEST_NAME = "algorithm.toml"
MAXIMUM_PACKAGE = 16 * 1024 * 1024
"""Longest package [bytes]."""
MAXIMUM_UNPACKED = 64 * 1024 * 1024
"""Most that a package may become when it is unpacked [bytes]."""
MAXIMUM_FILES = 2000
RUNTIME = ("msgspec", "numpy", "scipy")
"""What every agent has for its algorithms; anything else a package brings along."""

PURE = "py3-none-any"
_word = r"[a-z0-9_.]+"
_name = re.compile(
    rf"(?P<name>[A-Za-z][A-Za-z0-9_]*)-(?P<version>[0-9][A-Za-z0-9.]*)-(?P<tag>{_word}-{_word}-{_word})\.whl"
)
_unreadable = (  # what zipfile raises for bytes that are no archive
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
)
_ours = ("agent", "algorithms", "device_catalog", "hardware")
_drive = re.compile(r"[A-Za-z]:")


class PackageError(ProblemsError):
    """A package is refused whole, with every problem found in it."""


class Package(msgspec.Struct, frozen=True):
    """
    A package that is right.

    Attributes
    ----------
    file_name : str
    manifest : Manifest
    tag : str
        Python, ABI and platform it is for, such as ``py3-none-any``.
    sha256 : str
    length : int
        [bytes]
    files : dict
        Length of each file by its path [bytes].
    """

    file_name: str
    manifest: Manifest
    tag: str
    sha256: str
    length: int
    files: dict[str, int]


def package_name(name: str, version: str, tag: str = PURE) -> str:
    """
    Name the file of a package.

    >>> package_name("voltage-dips", "1.0.0")
    'voltage_dips-1.0.0-py3-none-any.whl'
    """
    return f"{name.replace('-', '_')}-{version}-{tag}.whl"


def tags_for(machine: str, python: tuple[int, int] | None = None) -> tuple[str, ...]:
    """
    List the tags that fit a machine, the preferred ones first: the stable ABI, then pure Python.

    >>> tags_for("aarch64", (3, 12))
    ('cp312-abi3-linux_aarch64', 'cp311-abi3-linux_aarch64', 'py3-none-any')
    """
    newest = (python or sys.version_info[:2])[1]
    return (*(f"cp3{minor}-abi3-linux_{machine}" for minor in range(newest, 10, -1)), PURE)


def read_package(file_name: str, data: bytes, tags: Iterable[str] | None = None) -> Package:
    """
    Judge a package.

    Parameters
    ----------
    file_name : str
        Without folders.
    data : bytes
    tags : iterable of str, optional
        Those that fit where it is to run; any where None.

    Raises
    ------
    PackageError
        With every problem found.
    """
    problems: list[Problem] = []
    named = _name.fullmatch(file_name)
    if named is None:
        expected = "NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
        problems.append(Problem("name", expected, shortened(file_name), "name it as `tresma algorithm pack` does"))
    elif tags is not None and named["tag"] not in (fitting := tuple(tags)):
        problems.append(Problem("name", f"a package for {' or '.join(fitting)}", named["tag"], "pack it for this one"))
    if len(data) > MAXIMUM_PACKAGE:
        problems.append(Problem("length", f"at most {MAXIMUM_PACKAGE} bytes", f"{len(data)} bytes"))
        raise PackageError(problems)
    files = _unpacked(data, problems)
    manifest = _manifest(files, named, problems)
    if problems or manifest is None or named is None:
        raise PackageError(problems)
    digest = hashlib.sha256(data).hexdigest()
    lengths = {path: len(content) for path, content in sorted(files.items())}
    return Package(file_name, manifest, named["tag"], digest, len(data), lengths)


def contents(data: bytes) -> dict[str, bytes]:
    """
    Give the files of a package that `read_package` found right.

    Raises
    ------
    PackageError
        When they cannot be read.
    """
    problems: list[Problem] = []
    files = _unpacked(data, problems)
    if problems:
        raise PackageError(problems)
    return files


def tree_digest(files: Mapping[str, bytes], folder: str) -> str:
    """
    Digest everything below `folder`: SHA-256 over the sorted lines ``path, length, SHA-256``.

    >>> tree_digest({"a/b.py": b""}, "a")[:16]
    '4bfebb2ff1622726'
    """
    lines = [
        f"{path[len(folder) + 1 :]} {len(content)} {hashlib.sha256(content).hexdigest()}\n"
        for path, content in sorted(files.items())
        if path.startswith(f"{folder}/")
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def record_line(path: str, content: bytes) -> str:
    """Write one line of a wheel's RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def _unpacked(data: bytes, problems: list[Problem]) -> dict[str, bytes]:
    """Read every file, as far as the limits allow; tell what is wrong with their names and kinds."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            declared = sum(entry.file_size for entry in entries)
            if len(entries) > MAXIMUM_FILES:
                problems.append(Problem("files", f"at most {MAXIMUM_FILES}", f"{len(entries)}"))
            if declared > MAXIMUM_UNPACKED:
                problems.append(Problem("unpacked", f"at most {MAXIMUM_UNPACKED} bytes", f"{declared} bytes"))
            seen: set[str] = set()
            for entry in entries[:MAXIMUM_FILES]:
                problems += _problems_of_entry(entry, seen)
                seen.add(entry.filename.casefold())
            return {} if problems else _read(archive, entries, problems)
    except _unreadable as error:
        problems.append(
            Problem("file", "a whole wheel (a zip archive)", shortened(str(error)), "fetch or pack it anew")
        )
    return {}


def _read(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], problems: list[Problem]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry in entries:
        with archive.open(entry) as file:
            content = file.read(entry.file_size + 1)
        if len(content) != entry.file_size:
            found = f"{len(content)} bytes"
            problems.append(Problem(shortened(entry.filename), f"the declared {entry.file_size} bytes", found))
        files[entry.filename] = content
    return files


def _problems_of_entry(entry: zipfile.ZipInfo, seen: set[str]) -> list[Problem]:
    name = entry.orig_filename  # as it stands there; `filename` has been made fit for this system
    where = shortened(name) or "(no name)"
    problems = []
    if name.startswith(("/", "\\")) or _drive.match(name):
        problems.append(Problem(where, "a path inside the package", "an absolute one"))
    elif ".." in re.split(r"[/\\]", name):
        problems.append(Problem(where, "a path inside the package", "one that leaves it"))
    elif not (name.isascii() and name.isprintable()) or "\\" in name or "//" in name or not 0 < len(name) <= 200:
        problems.append(Problem(where, "a path of at most 200 printable ASCII characters, with /", "another"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        problems.append(Problem(where, "a file", "a symbolic link"))
    elif entry.is_dir() or kind not in (0, stat.S_IFREG):
        problems.append(Problem(where, "a file", "a folder, device or something else"))
    if entry.flag_bits & 1:
        problems.append(Problem(where, "a file that can be read", "an encrypted one"))
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problems.append(Problem(where, "a stored or deflated file", f"compression {entry.compress_type}"))
    if entry.filename.casefold() in seen:
        problems.append(Problem(where, "each path once", "a second one"))
    return problems


def _manifest(files: dict[str, bytes], named: re.Match[str] | None, problems: list[Problem]) -> Manifest | None:
    """Judge what the files say together; return the manifest as far as there is one."""
    if not files:
        if not problems:
            problems.append(Problem("files", "the files of a package", "none"))
        return None
    information = sorted({path.partition("/")[0] for path in files if path.partition("/")[0].endswith(".dist-info")})
    if len(information) != 1:
        problems.append(Problem("files", "one folder NAME-VERSION.dist-info", ", ".join(information) or "none"))
        return None
    folder = information[0]
    if named is not None and folder != f"{named['name']}-{named['version']}.dist-info":
        problems.append(Problem(folder, f"{named['name']}-{named['version']}.dist-info", "another name"))
    _judge_record(files, folder, problems)
    _judge_wheel(files, folder, named, problems)
    if f"{folder}/{MANIFEST_NAME}" not in files:
        problems.append(Problem(f"{folder}/{MANIFEST_NAME}", "the manifest of an algorithm", "none"))
        return None
    try:
        manifest = manifest_from_toml(files[f"{folder}/{MANIFEST_NAME}"])
    except ManifestError as error:
        problems += error.problems
        return None
    _judge_manifest(manifest, files, named, problems)
    return manifest


def _judge_manifest(
    manifest: Manifest, files: Mapping[str, bytes], named: re.Match[str] | None, problems: list[Problem]
) -> None:
    """Tell where a manifest that can be read does not fit the package it stands in."""
    for field, right in (("name", manifest.info.name.replace("-", "_")), ("version", manifest.info.version)):
        if named is not None and named[field] != right:
            found = f"{named[field]} in the file's name"
            problems.append(Problem(f"info.{field}", f"the same as in the file's name, {right}", found))
    problems += problems_of_entry(files, manifest.entry)
    for package in manifest.runtime:
        if package not in RUNTIME:
            remedy = "bring it along under [[vendored]]"
            problems.append(Problem("runtime", f"of {', '.join(RUNTIME)}", shortened(package), remedy))
    for vendored in manifest.vendored:
        found = tree_digest(files, vendored.path)
        if found != vendored.sha256:
            problems.append(Problem(f"vendored.{vendored.name}", f"SHA-256 {vendored.sha256[:16]}...", found[:16]))


def _judge_record(files: Mapping[str, bytes], folder: str, problems: list[Problem]) -> None:
    name = f"{folder}/RECORD"
    if name not in files:
        problems.append(Problem(name, "a list of files with their hashes", "none"))
        return
    try:
        rows = [row for row in csv.reader(io.StringIO(files[name].decode(), newline="")) if row]
    except (ValueError, csv.Error) as error:
        problems.append(Problem(name, "lines of path,hash,length", shortened(str(error))))
        return
    listed = {",".join(row) if len(row) == 3 else "" for row in rows}
    for path, content in sorted(files.items()):
        if path != name and record_line(path, content).rstrip("\n") not in listed:
            problems.append(Problem(shortened(path), f"its SHA-256 and length in {name}", "none, or others"))
    missing = sorted({row[0] for row in rows} - set(files))
    problems.extend(Problem(name, "only files that are there", shortened(path)) for path in missing[:20])


def _judge_wheel(files: Mapping[str, bytes], folder: str, named: re.Match[str] | None, problems: list[Problem]) -> None:
    fields = [line.partition(": ")[::2] for line in files.get(f"{folder}/WHEEL", b"").decode("latin-1").splitlines()]
    tags = [value for key, value in fields if key == "Tag"]
    if named is not None and tags != [named["tag"]]:
        found = shortened(", ".join(tags)) or "none"
        problems.append(Problem(f"{folder}/WHEEL", f"the tag of the file's name, {named['tag']}", found))
    native = [path for path in files if path.endswith((".so", ".pyd", ".dll", ".dylib"))]
    if native and named is not None and named["tag"] == PURE:
        problems.append(Problem(shortened(native[0]), f"no compiled code in a package for {PURE}", "some"))
    for top in sorted({path.partition("/")[0] for path in files} - {folder}):
        module = top.partition(".")[0]
        if top.endswith((".data", ".pth", ".egg-link")):
            problems.append(Problem(top, "Python packages only", "what an installer would put elsewhere"))
        elif module in (*_ours, *RUNTIME) or module in sys.stdlib_module_names:
            problems.append(Problem(top, "a package of its own name", f"one that would stand in for {module}"))


def problems_of_entry(files: Mapping[str, bytes], entry: str) -> list[Problem]:
    """Tell what keeps ``package.module:Class`` from being imported out of `files`, without importing it."""
    module, _, wanted = entry.partition(":")
    parts = module.split(".")
    problems = [
        Problem("entry", f"{entry}, so a file {path}", "none")
        for path in ("/".join([*parts[:depth], "__init__.py"]) for depth in range(1, len(parts)))
        if path not in files
    ]
    places = [f"{'/'.join(parts)}.py", f"{'/'.join(parts)}/__init__.py"]
    found = next((place for place in places if place in files), None)
    if found is None:
        return [*problems, Problem("entry", f"{entry}, so a file {places[0]}", "none", "correct the entry")]
    try:
        tree = ast.parse(files[found])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [*problems, Problem(found, "Python", shortened(str(error)))]
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    if wanted not in names:
        problems.append(Problem("entry", f"a class {wanted} in {found}", "none", "correct the entry"))
    return problems
