"""
The samples of a COMTRADE recording: the bytes of its data file (DAT) to codes and back, in all four formats.

Pure: bytes in, arrays out; between `comtrade_config`, which says what to expect, and `comtrade`. How many samples
there are follows from the bytes, and is then compared with what was declared, so that no lie in a configuration can
ask for memory. Binary codes are views of the file's bytes; text is read in portions, vectorised.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import shortened
from hardware.comtrade_model import BITS_PER_WORD, LOWEST_FLOAT32, Configuration, Recording
from hardware.errors import RecordingError

MAXIMUM_DATA = 1024 * 1024 * 1024
"""Largest data file read [bytes]."""
MAXIMUM_TEXT = 256 * 1024 * 1024
"""Largest data file read when it is text, whose values take more memory than their digits [bytes]."""

_MISSING_STAMP = 0xFFFFFFFF
_MISSING_TEXT = 99_999.0
_MISSING_TEXT_1991 = 999_999.0
_LONGEST_NUMBER = 48
_LARGEST = 1e38
_PORTION = 2 * 1024 * 1024
_code_types = {"BINARY": "<i2", "BINARY32": "<i4", "FLOAT32": "<f4"}


def decode_data(config: Configuration, data: bytes | memoryview, name: str) -> Recording:
    """
    Read the samples.

    Parameters
    ----------
    config : Configuration
    data : bytes
    name : str
        Of the file, for messages.

    Raises
    ------
    RecordingError
    """
    limit = MAXIMUM_TEXT if config.data_format == "ASCII" else MAXIMUM_DATA
    if len(data) > limit:
        raise RecordingError(f"{name}: expected at most {limit} bytes of {config.data_format} data, found {len(data)}")
    if not len(data):
        raise RecordingError(f"{name}: expected {config.n_samples or 'some'} samples, found an empty file")
    if config.data_format == "ASCII":
        return _decode_text(config, bytes(data), name)
    return _decode_binary(config, data, name)


def _record_type(config: Configuration) -> np.dtype[Any]:
    return np.dtype(
        [
            ("number", "<u4"),
            ("stamp", "<u4"),
            ("codes", _code_types[config.data_format], (len(config.analog),)),
            ("words", "<u2", (config.n_words,)),
        ]
    )


def _decode_binary(config: Configuration, data: bytes | memoryview, name: str) -> Recording:
    record = _record_type(config)
    size = record.itemsize
    n_samples, rest = divmod(len(data), size)
    if rest == 1 and bytes(data[-1:]) == b"\x1a":  # an end-of-file mark
        rest = 0
    layout = f"{size} bytes a sample ({len(config.analog)} analog and {len(config.digital)} digital channels)"
    declared = config.n_samples
    if declared and n_samples < declared:
        raise RecordingError(
            f"{name}, byte {n_samples * size}: expected {declared} samples of {layout}, {declared * size} bytes in "
            f"all, found {len(data)} bytes; the file is truncated or belongs to another configuration"
        )
    if rest or (declared and n_samples > declared):
        raise RecordingError(
            f"{name}, byte {(declared or n_samples) * size}: expected the end after {declared or n_samples} samples "
            f"of {layout}, found {len(data) - (declared or n_samples) * size} more bytes"
        )
    records = np.frombuffer(data, record, n_samples)
    stamps = records["stamp"].astype(np.float64)
    stamps[records["stamp"] == _MISSING_STAMP] = np.nan
    return Recording(
        config, records["codes"].T, stamps, records["words"].astype(np.uint16), records["number"].astype(np.int64)
    )


def _decode_text(config: Configuration, data: bytes, name: str) -> Recording:
    n_analog, n_digital = len(config.analog), len(config.digital)
    n_fields = 2 + n_analog + n_digital
    data = data.rstrip(b"\r\n \t\x00\x1a")
    parts: list[NDArray[np.float64]] = []
    first_line = 1
    for lines in _portions(data):
        parts.append(_table(lines, n_fields, name, first_line))
        first_line += len(lines)
    table = np.concatenate(parts) if parts else np.empty((0, n_fields))
    n_samples = len(table)
    if config.n_samples and n_samples != config.n_samples:
        raise RecordingError(
            f"{name}, line {min(n_samples, config.n_samples) + 1}: expected {config.n_samples} samples, one a line, "
            f"found {n_samples}"
        )
    codes = np.ascontiguousarray(table[:, 2 : 2 + n_analog].T)
    codes[codes == _MISSING_TEXT] = np.nan
    if config.revision == 1991:
        codes[codes == _MISSING_TEXT_1991] = np.nan
    states = table[:, 2 + n_analog :]
    odd = (states != 0) & (states != 1)
    if odd.any():
        row, column = np.argwhere(odd)[0]
        raise RecordingError(
            f"{name}, line {row + 1}: expected 0 or 1 for digital channel {column + 1}, found {states[row, column]:g}"
        )
    numbers = table[:, 0]
    if not (np.abs(numbers) < 2**53).all():  # also NaN
        row = int(np.argmin(np.abs(numbers) < 2**53))
        raise RecordingError(f"{name}, line {row + 1}: expected a sample number, found {numbers[row]:g}")
    words = np.zeros((n_samples, config.n_words), np.uint16)
    for index in range(n_digital):
        word, bit = divmod(index, BITS_PER_WORD)
        words[:, word] |= states[:, index].astype(np.uint16) << np.uint16(bit)
    codes.flags.writeable = False
    return Recording(config, codes, table[:, 1].copy(), words, numbers.astype(np.int64))


def _portions(data: bytes) -> Iterator[list[bytes]]:
    """Cut text into lists of whole lines, so that little of it is held as separate numbers at a time."""
    start = 0
    while start < len(data):
        end = start + _PORTION
        if end < len(data):
            cut = data.rfind(b"\n", start, end)
            end = len(data) if cut < 0 and b"\n" not in data[end:] else (cut if cut >= 0 else data.find(b"\n", end)) + 1
        lines = data[start:end].splitlines()
        yield lines
        start = end


def _table(lines: list[bytes], n_fields: int, name: str, first_line: int) -> NDArray[np.float64]:
    """Read lines of numbers, shape (n_lines, n_fields); an empty field is NaN."""
    for offset, line in enumerate(lines):
        found = line.count(b",") + 1
        if found != n_fields and not (found == n_fields + 1 and line.rstrip().endswith(b",")):
            raise RecordingError(
                f"{name}, line {first_line + offset}: expected {n_fields} fields, found {found}: "
                f"{shortened(line[:200].decode('latin-1'))}"
            )
    quick = _quickly(lines, n_fields)
    if quick is not None:
        return quick
    fields = [field.strip() for line in lines for field in line.split(b",", n_fields)[:n_fields]]
    longest = max(map(len, fields), default=0)
    if longest <= _LONGEST_NUMBER:
        try:
            table: NDArray[np.float64] = np.array([field or b"nan" for field in fields]).astype(np.float64)
        except ValueError:
            pass
        else:
            if not (np.abs(table) > _LARGEST).any():
                return table.reshape(-1, n_fields)
    for index, field in enumerate(fields):
        if not _is_number(field):
            raise RecordingError(
                f"{name}, line {first_line + index // n_fields}: expected a number in field "
                f"{index % n_fields + 1} of {n_fields}, found {shortened(field[:200].decode('latin-1'))}"
            )
    raise RecordingError(f"{name}, from line {first_line}: expected lines of {n_fields} numbers, found something else")


def _quickly(lines: list[bytes], n_fields: int) -> NDArray[np.float64] | None:
    """Read lines in which every field is a number; None where they are not."""
    if max(map(len, lines), default=0) > n_fields * (_LONGEST_NUMBER + 1):
        return None
    with warnings.catch_warnings():
        # Text that is no number ends this reading early, with a warning; the slower one then says where it is.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            values = np.fromstring(b",".join(lines).decode("latin-1"), np.float64, sep=",")
        except ValueError:
            return None
    if values.size != len(lines) * n_fields or (np.abs(values) > _LARGEST).any():
        return None
    return values.reshape(-1, n_fields)


def _is_number(field: bytes) -> bool:
    if not field:
        return True
    try:
        return len(field) <= _LONGEST_NUMBER and not abs(float(field)) > _LARGEST
    except ValueError:
        return False


def encode_data(recording: Recording) -> bytes:
    """
    Write the samples.

    Raises
    ------
    ValueError
        When the codes or time stamps do not fit the format.
    """
    config = recording.config
    if config.n_samples != recording.n_samples:
        raise ValueError(f"as many samples as declared ({config.n_samples}) expected, found {recording.n_samples}")
    if config.data_format == "ASCII":
        return _encode_text(recording)
    records = np.zeros(recording.n_samples, _record_type(config))
    stamps = recording.stamps
    missing = np.isnan(stamps)
    kept = stamps[~missing]
    if not (np.all(kept == np.rint(kept)) and np.all((kept >= 0) & (kept < _MISSING_STAMP))):
        raise ValueError("whole time stamps from 0 to 4294967294 expected; choose another time multiplier")
    records["stamp"] = np.where(missing, _MISSING_STAMP, stamps).astype(np.uint32)
    records["number"] = recording.numbers
    records["words"] = recording.words
    codes, gone = recording.codes, recording.missing(slice(None))
    target = np.dtype(_code_types[config.data_format])
    if target.kind == "f":
        records["codes"] = np.where(gone, LOWEST_FLOAT32, codes).astype(target).T
    else:
        bounds = np.iinfo(target)
        present = codes[~gone]
        if present.size and not (
            np.all(present == np.rint(present)) and present.min() > bounds.min and present.max() <= bounds.max
        ):
            raise ValueError(f"whole codes from {bounds.min + 1} to {bounds.max} expected for {config.data_format}")
        records["codes"] = np.where(gone, bounds.min, codes).astype(target).T
    return records.tobytes()


def _encode_text(recording: Recording) -> bytes:
    config = recording.config
    gone = recording.missing(slice(None))
    codes = np.where(gone, np.nan, recording.codes)
    markers = [_MISSING_TEXT] + ([_MISSING_TEXT_1991] if config.revision == 1991 else [])
    if np.isin(codes, markers).any():
        raise ValueError(f"no code that marks missing samples ({markers}) expected among the values")
    mark = "" if config.revision == 1991 else "99999"
    states = [recording.digital(index).tolist() for index in range(len(config.digital))]
    columns = [
        [str(number) for number in recording.numbers.tolist()],
        [_number(stamp, "") for stamp in recording.stamps.tolist()],
        *([_number(code, mark) for code in row] for row in codes.tolist()),
        *([str(state) for state in row] for row in states),
    ]
    return "".join(",".join(row) + "\r\n" for row in zip(*columns, strict=True)).encode("ascii")


def _number(value: float, mark: str) -> str:
    if value != value:  # noqa: PLR0124 - NaN is the one value that differs from itself
        return mark
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
