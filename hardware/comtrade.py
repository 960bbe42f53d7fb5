"""
COMTRADE recordings on disk: reading and writing them (IEEE C37.111-1991, -1999, -2013).

The public door of the rooms behind it: `comtrade_model` (the values), `comtrade_config`, `comtrade_text` and
`comtrade_data` (the files' contents, pure) and `comtrade_times` (when samples were taken). This room alone touches
files: it finds the pair (CFG and DAT) or the single combined file (CFF), and writes them so that a power cut leaves
the old file or the new one.
"""

import os
import re
import stat
from pathlib import Path

from algorithms.api.errors import shortened
from hardware.comtrade_config import MAXIMUM_CONFIGURATION, decode_text, parse_configuration
from hardware.comtrade_data import MAXIMUM_DATA, decode_data, encode_data
from hardware.comtrade_model import Recording
from hardware.comtrade_text import format_configuration
from hardware.errors import RecordingError, SourceNotFound

_section = re.compile(
    rb"^[ \t]*---[ \t]*file type:[ \t]*([A-Za-z]{3})"
    rb"[ \t]*([A-Za-z]+\d*)?[ \t]*(?::?[ \t]*(\d+))?[ \t]*---[ \t]*(?:\r\n|\n|\r|$)",
    re.IGNORECASE | re.MULTILINE,
)


def read_recording(path: Path | str) -> Recording:
    """
    Read a recording: ``name.cfg`` with ``name.dat`` beside it, or ``name.cff``.

    Raises
    ------
    SourceNotFound
        When a file is not there.
    RecordingError
        When it is no recording; the message says where, what was expected and what was found.
    """
    path = Path(path)
    if path.suffix.lower() == ".cff":
        return parse_combined(_read(path, MAXIMUM_DATA), path.name)
    config_path = path if path.suffix.lower() == ".cfg" else _beside(path, ".cfg")
    config = parse_configuration(decode_text(_read(config_path, MAXIMUM_CONFIGURATION)), config_path.name)
    data_path = _beside(config_path, ".dat")
    return decode_data(config, _read(data_path, MAXIMUM_DATA), data_path.name)


def parse_combined(data: bytes, name: str) -> Recording:
    """
    Read a combined recording (CFF).

    Raises
    ------
    RecordingError
    """
    if not data:
        raise RecordingError(f"{name}: expected a combined recording, found an empty file")
    texts: dict[str, bytes] = {}
    position = 0
    while True:
        mark = _section.search(data, position)
        if mark is None:
            raise RecordingError(
                f"{name}, byte {position}: expected a line '--- file type: DAT ... ---' before the end, found "
                f"{shortened(repr(data[position : position + 60]))}"
            )
        kind = mark[1].decode().upper()
        if kind == "DAT":
            break
        following = _section.search(data, mark.end())
        end = following.start() if following else len(data)
        texts[kind] = data[mark.end() : end]
        position = end
    if "CFG" not in texts:
        raise RecordingError(
            f"{name}: expected a CFG section before byte {mark.start()}, found {list(texts) or 'none'}"
        )
    config = parse_configuration(decode_text(texts["CFG"][:MAXIMUM_CONFIGURATION]), f"{name} (CFG section)")
    stated = (mark[2] or b"").decode().upper()
    if stated and stated != config.data_format:
        raise RecordingError(
            f"{name}, byte {mark.start()}: expected {config.data_format} data as the CFG section says, found {stated}"
        )
    body = memoryview(data)[mark.end() :]
    if mark[3] is not None and config.data_format != "ASCII":
        length = int(mark[3][:18])
        if length > len(body):
            raise RecordingError(
                f"{name}, byte {mark.end()}: expected {length} bytes of data as declared, found {len(body)}"
            )
        body = body[:length]
    recording = decode_data(config, body, f"{name} (DAT section)")
    header, information = (decode_text(texts.get(kind, b"")).strip() for kind in ("HDR", "INF"))
    return Recording(config, recording.codes, recording.stamps, recording.words, recording.numbers, header, information)


def write_recording(path: Path | str, recording: Recording) -> None:
    """
    Write a recording as ``name.cfg`` with ``name.dat``, or as ``name.cff``; free texts go into the latter only.

    Raises
    ------
    ValueError
        When the path has another ending, or the recording does not fit its own format.
    """
    path = Path(path)
    if path.suffix.lower() == ".cff":
        _write(path, encode_combined(recording))
    elif path.suffix.lower() == ".cfg":
        text, data = format_configuration(recording.config).encode(), encode_data(recording)
        # The configuration comes last: a recording without one is no recording.
        _write(path.with_suffix(".DAT" if path.suffix.isupper() else ".dat"), data)
        _write(path, text)
    else:
        raise ValueError(f"a path ending in .cfg or .cff expected, found {path.name}")


def encode_combined(recording: Recording) -> bytes:
    """
    Write a recording as the content of a combined file (CFF).

    Raises
    ------
    ValueError
        When it is of a revision before 2013, or does not fit its own format.
    """
    if recording.config.revision < 2013:
        raise ValueError(f"revision 2013 expected for a combined file, found {recording.config.revision}")
    text, data = format_configuration(recording.config).encode(), encode_data(recording)
    data_format = recording.config.data_format
    length = "" if data_format == "ASCII" else f": {len(data)}"
    parts = [b"--- file type: CFG ---\r\n", text]
    for kind, free in (("INF", recording.information), ("HDR", recording.header)):
        lines = free.splitlines()
        if any(_section.match(line.encode()) for line in lines):
            raise ValueError(f"{kind} text without section marks expected")
        parts.append(f"--- file type: {kind} ---\r\n".encode())
        parts += [line.encode() + b"\r\n" for line in lines]
    parts += [f"--- file type: DAT {data_format}{length} ---\r\n".encode(), data]
    return b"".join(parts)


def _beside(path: Path, suffix: str) -> Path:
    """Find the other file of a pair, whatever the case of its ending."""
    for candidate in (path.with_suffix(suffix), path.with_suffix(suffix.upper()), path.with_suffix(suffix.title())):
        if candidate.exists():
            return candidate
    expected = path.with_suffix(suffix.upper() if path.suffix.isupper() else suffix).name
    raise SourceNotFound(f"{path}: expected the file {expected} beside it, found none; a recording is a pair of files")


def _read(path: Path, limit: int) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RecordingError(f"{path}: expected a file, found a folder or device")
        with path.open("rb") as file:
            # As many bytes as there are: room for a number asked for is taken whether it is needed or not.
            data = file.read(min(status.st_size, limit) + 1)
    except FileNotFoundError:
        raise SourceNotFound(f"{path}: expected a recording, found no such file; check the path") from None
    except OSError as error:
        raise RecordingError(f"{path}: expected a readable file, found: {error.strerror or error}") from error
    if len(data) > limit:
        raise RecordingError(f"{path.name}: expected at most {limit} bytes, found more")
    if not data:
        raise RecordingError(f"{path.name}: expected a recording, found an empty file")
    return data


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
