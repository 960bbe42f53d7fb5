"""
How records are written in JSON, for brokers, files and people.

A message is one object: the header (who says it, and which of its messages it is), then the record's own fields.
Three rules turn a record into JSON and back:

1. ``*_ns`` fields become RFC 3339 UTC text with nanoseconds, under the name without the suffix (JSON numbers
   would lose them). The header's ``time`` is the record's ``time_ns`` where it has one.
2. Numbers are written with 8 significant digits, uncertainties with 3: what a meter knows, not what a double holds.
3. What was not measured is ``null``. A NaN is a bug and refused.

Receivers tell repeated messages by (device, boot, number), ignore fields they do not know, and never read further
than a stated length.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, TypeVar

import msgspec

from algorithms.api.errors import WireError, shortened
from algorithms.api.records import Record, type_of_kind

MAXIMUM_LENGTH = 1024 * 1024
"""Longest message read unless told otherwise [bytes]."""

NANOSECONDS = 1_000_000_000
FIRST_NS = -62_135_596_800 * NANOSECONDS
LAST_NS = 253_402_300_800 * NANOSECONDS - 1
"""The years 1 to 9999, which RFC 3339 can write [ns UTC]."""

VALUE_DIGITS = 8
UNCERTAINTY_DIGITS = 3

Document = TypeVar("Document", bound=msgspec.Struct)

_epoch = datetime(1970, 1, 1, tzinfo=UTC)
_time_text = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)
_long_number = re.compile(rb"\d{19}")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Header(msgspec.Struct, frozen=True):
    """
    Who says a message, and which of its messages it is.

    Attributes
    ----------
    device : str
    boot : int
        Grows with each start of the agent.
    session : int
        Counts the connections made to the broker, so that a late last will cannot end a newer session.
    number : int
        Counts the device's messages since `boot`, from 1; 0 for what is not numbered (presence).
    time_ns : int
        [ns UTC]
    previous : int
        Number of the message before on the same topic since `boot`, 0 for none or not known (a sender remembers its
        last thousand topics): numbers run over all topics, so this is what shows a receiver of one topic that something
        is missing.
    """

    device: str
    boot: int
    session: int
    number: int
    time_ns: int
    previous: int = 0


def time_text(time_ns: int) -> str:
    """
    Write UTC nanoseconds as text.

    Raises
    ------
    ValueError
        When it is outside the years 1 to 9999.

    Examples
    --------
    >>> time_text(1_700_000_000_020_000_001)
    '2023-11-14T22:13:20.020000001Z'
    """
    if not FIRST_NS <= time_ns <= LAST_NS:
        raise ValueError(f"expected a time within the years 1 to 9999 [ns], found {shortened(time_ns)}")
    seconds, rest = divmod(time_ns, NANOSECONDS)
    return f"{_second_text(seconds)}.{rest:09d}Z"


def time_from_text(text: str) -> int:
    """
    Read RFC 3339 text as UTC nanoseconds.

    Raises
    ------
    ValueError
        When it is no such text.
    """
    match = _time_text.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise ValueError(f"expected an RFC 3339 time with its offset, found {shortened(text)}")
    whole = datetime.fromisoformat(f"{match[1]}{match[3] or '+00:00'}") - _epoch
    time_ns = (whole.days * 86_400 + whole.seconds) * NANOSECONDS + int((match[2] or "0").ljust(9, "0"))
    if not FIRST_NS <= time_ns <= LAST_NS:
        raise ValueError(f"expected a time within the years 1 to 9999 UTC, found {text}")
    return time_ns


def encode(document: msgspec.Struct, header: Header) -> bytes:
    """
    Write a record, or any tagged document, under its header.

    Raises
    ------
    ValueError
        When a number is not finite: what was not measured must be None.
    TypeError
        When a value is nothing that JSON knows.
    """
    form = _form_of(type(document))
    time = time_text(getattr(document, "time_ns", header.time_ns))
    return (
        f'{form.head},"device":{_string(header.device)},"boot":{header.boot},"session":{header.session},'
        f'"number":{header.number},"previous":{header.previous},"time":"{time}"{form.fields(document, header=True)}}}'
    ).encode()


def decode(data: bytes, maximum_length: int = MAXIMUM_LENGTH) -> tuple[Header, Record]:
    """
    Read a record and its header.

    Raises
    ------
    WireError
        When it is none.
    """
    return decode_as(record_types, data, maximum_length)


def decode_as(
    types: Mapping[str, type[Document]], data: bytes, maximum_length: int = MAXIMUM_LENGTH
) -> tuple[Header, Document]:
    """
    Read a message of stated types.

    Parameters
    ----------
    types : mapping
        The schemas expected, each with its type.
    data : bytes
    maximum_length : int
        [bytes]

    Raises
    ------
    WireError
        When it is not what was expected.
    """
    if len(data) > maximum_length:
        raise WireError(f"expected a message of at most {maximum_length} bytes, found {len(data)}")
    try:
        fields = _decode(data)
        if _long_number.search(data):
            _refuse_beyond_64_bits(fields)
        if not isinstance(fields, dict):
            raise WireError(f"expected a JSON object, found {shortened(repr(data[:80]))}")
        schema = fields.get("schema")
        document_type = types.get(schema) if isinstance(schema, str) else None
        if document_type is None:
            raise WireError(f"expected one of {', '.join(types)}, found {shortened(schema)}")
        header = msgspec.convert(_with_nanoseconds(fields, ("time",)), Header)
        names = [field.name[:-3] for field in msgspec.structs.fields(document_type) if field.name[-3:] == "_ns"]
        return header, msgspec.convert(_with_nanoseconds(fields, names), document_type)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"expected a message, found one that cannot be read: {error}") from error


def _refuse_beyond_64_bits(value: Any) -> None:
    """Refuse a whole number that JSON can hold and nothing behind it can: pipes to algorithms, arrays, databases."""
    if isinstance(value, dict):
        for item in value.values():
            _refuse_beyond_64_bits(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_beyond_64_bits(item)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise WireError(f"expected whole numbers of at most 64 bits, found {shortened(value)}")


def text(document: msgspec.Struct) -> str:
    """
    Write a document as JSON by the three rules, without a header.

    Raises
    ------
    ValueError, TypeError
        As `encode`.
    """
    return _text(document)


record_types: dict[str, type[Record]] = {
    str(record_type.__struct_config__.tag): record_type for record_type in type_of_kind.values()
}
"""Every record's schema with its type."""


def _is_uncertainty(name: str) -> bool:
    return name.startswith("u_") or name.endswith("uncertainty")


@lru_cache(maxsize=16)  # consecutive records share their second
def _second_text(seconds: int) -> str:
    return (_epoch + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


@lru_cache(maxsize=256)  # names of phases, fields and devices
def _string(value: str) -> str:
    return _encode(value).decode()


def _number(value: float, digits: int = VALUE_DIGITS) -> str:
    text = f"{value:.{digits}g}"
    if "n" in text:
        raise ValueError(f"expected a finite number or None, found {text}")
    return "0" if text == "-0" else text


def _mapping(value: Mapping[Any, Any]) -> str:
    if not all(isinstance(key, str) for key in value):
        raise TypeError(f"expected what JSON knows, found keys that are no text: {shortened(list(value))}")
    return "{" + ",".join([f"{_encode(key).decode()}:{_text(item)}" for key, item in value.items()]) + "}"


def _sequence(value: Any) -> str:
    return "[" + ",".join([_text(item) for item in value]) + "]"


class _Form:
    """
    How one type of struct is written: what is the same for all of its values is worked out once.

    Attributes
    ----------
    head : str
        The opening brace, and the schema where there is one.
    """

    def __init__(self, struct_type: type[msgspec.Struct]) -> None:
        config = struct_type.__struct_config__
        self._type = struct_type
        self._is_row = config.array_like
        self._digits = [
            UNCERTAINTY_DIGITS if _is_uncertainty(name) else VALUE_DIGITS for name in struct_type.__struct_fields__
        ]
        # Most of a frame's numbers stand in rows of nothing else, which are written in one go.
        self._template = "[" + ",".join(f"%.{count}g" for count in self._digits) + "]"
        self._numbers = all(field.type in (float, float | None) for field in msgspec.structs.fields(struct_type))
        tagged = config.tag is not None and config.tag_field is not None
        self.head = "{" + (f"{_string(str(config.tag_field))}:{_string(str(config.tag))}" if tagged else "")
        self._fields = []
        for name, digits in zip(struct_type.__struct_fields__, self._digits, strict=True):
            is_time = name.endswith("_ns")
            key = f",{_string(name[:-3] if is_time else name)}:"
            self._fields.append((name, key, is_time, digits))

    def write(self, value: msgspec.Struct) -> str:
        if self._is_row:
            return self._row(value)
        fields = self.fields(value)
        return f"{self.head}{fields if len(self.head) > 1 else fields[1:]}}}"

    def fields(self, value: msgspec.Struct, *, header: bool = False) -> str:
        """Write the fields, each after a comma; without the time where it stands in a header."""
        parts = []
        for name, key, is_time, digits in self._fields:
            item = getattr(value, name)
            if is_time:
                if not header or name != "time_ns":
                    parts.append(f'{key}"{time_text(item)}"' if item is not None else f"{key}null")
            elif type(item) is float:
                parts.append(key + _number(item, digits))
            else:
                parts.append(key + _text(item))
        return "".join(parts)

    def _row(self, value: msgspec.Struct) -> str:
        row = msgspec.structs.astuple(value)
        if not self._numbers or None in row:
            items = zip(row, self._digits, strict=True)
            parts = [_number(item, digits) if type(item) is float else _text(item) for item, digits in items]
            return "[" + ",".join(parts) + "]"
        text = self._template % row
        if "n" in text:
            raise ValueError(f"expected finite numbers or None, found {text} in a {self._type.__name__}")
        if "-0," in text or text.endswith("-0]"):  # a zero has no sign: it would not be read back
            text = text.replace("-0,", "0,").replace("-0]", "0]")
        return text


_writers: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _number,
    str: lambda value: _encode(value).decode(),
    dict: _mapping,
    list: _sequence,
    tuple: _sequence,
}


@cache
def _form_of(struct_type: type[msgspec.Struct]) -> _Form:
    return _Form(struct_type)


def _text(value: Any) -> str:
    writer = _writers.get(type(value))
    if writer is not None:
        return writer(value)
    if isinstance(value, msgspec.Struct):
        return _form_of(type(value)).write(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str | int | datetime | msgspec.Raw):  # enumerations, and what the encoder knows
        return _encode(value).decode()
    if isinstance(value, Mapping):
        return _mapping(value)
    # What the encoder would take besides may hold a NaN, which it writes as null, or has no order of its own.
    raise TypeError(f"expected what JSON knows, found {type(value).__name__}: {shortened(value)}")


def _with_nanoseconds(fields: dict[str, Any], names: Any) -> dict[str, Any]:
    result = dict(fields)
    for name in names:
        text = result.get(name)
        result.pop(f"{name}_ns", None)  # times come as text only: a number would have lost its last digits
        if isinstance(text, str):
            result[f"{name}_ns"] = time_from_text(text)
        elif name in result:
            if text is not None:
                raise ValueError(f"expected RFC 3339 text as {name}, found {shortened(text)}")
            result[f"{name}_ns"] = None
    return result
