"""
Running an algorithm under test, and judging what it returned: the hands of `conformance`.

Where it stands: `conformance` says which rules there are and what is said of them; here is how an algorithm is driven
through its life as a host does it, with its input as it is, with a gap in it or at a changed rate.
"""

import contextlib
import copy
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from algorithms.api import wire
from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.conformance_watch import Watch
from algorithms.api.errors import WireError, shortened
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, Record, Result, kind_of, type_of_kind
from algorithms.api.samples import NANOSECONDS, SampleBlock, SampleFlag
from algorithms.api.settings import Setting

Input = SampleBlock | Record
Value = TypeVar("Value")

HEADER = wire.Header(device="conformance", boot=1, session=1, number=1, time_ns=0)
"""What outputs are written under."""

_longest = 64 * 1024 * 1024
_first_tick_ns = 1_700_000_000 * NANOSECONDS
_gap = 0.137
_wrong = {"number": "wrong", "integer": "wrong", "text": 5, "boolean": "wrong", "list": 5, "object": 5}


def attempt(action: Callable[[], Value]) -> tuple[Value | None, str]:
    """Return what `action` gives, or None and what went wrong, in words."""
    try:
        return action(), ""
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a foreign algorithm raises is a finding
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno} in {last.name}"
        return None, f"{type(error).__name__} raised in {place}: {shortened(str(error), 200)}"


def drive(
    algorithm_class: type[Algorithm],
    settings: Mapping[str, Any],
    context: Context,
    records: Sequence[Input],
    *,
    restored: bytes | None = None,
    states: list[Any] | None = None,
    times: list[float] | None = None,
    clock: Callable[[], float] | None = None,
    watch: Watch | None = None,
) -> list[Any]:
    """
    Lead a new instance through its life and return what it returned.

    Parameters
    ----------
    records : sequence
        Ticks are put between them as `AlgorithmInfo.tick_interval` asks.
    restored : bytes or None
    states : list
        Takes its checkpoint at the end.
    times : list
        Takes how long each call of `process` and `tick` took by `clock` [s].
    watch : Watch
        Entered while the algorithm has the word, constructor and `stop` excepted.

    Raises
    ------
    Exception
        Whatever the algorithm raises.
    TypeError
        When it returns no sequence.
    """
    outputs: list[Any] = []

    def call(action: Callable[[], Any], name: str) -> None:
        started = clock() if clock else 0.0
        with watch or contextlib.nullcontext():
            returned = action()
        if times is not None and clock:
            times.append(clock() - started)
        if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
            raise TypeError(f"expected a list of records from {name}, found {type(returned).__name__}")
        outputs.extend(returned)

    algorithm = algorithm_class(settings)
    with watch or contextlib.nullcontext():
        algorithm.start(context, restored)
    interval = round(algorithm.info.tick_interval * NANOSECONDS)
    due = 0
    for record in records:
        call(lambda record=record: algorithm.process(record), "process")  # type: ignore[misc]
        now = _time_ns(record)
        if interval and now >= due:
            call(lambda now=now: algorithm.tick(now), "tick")  # type: ignore[misc]
            due = now + interval
    if interval:
        start = _time_ns(records[-1]) if records else _first_tick_ns
        for number in range(1, 4):
            call(lambda now=start + number * interval: algorithm.tick(now), "tick")  # type: ignore[misc]
    if states is not None:
        with watch or contextlib.nullcontext():
            states.append(algorithm.checkpoint())
    algorithm.stop()
    return outputs


def copies(records: Iterable[Input], *, writable: bool) -> list[Input]:
    """Copy records, so that what one instance does to them is seen by no other."""
    result: list[Input] = []
    for record in records:
        if isinstance(record, SampleBlock):
            block = replace(record, values=record.values.copy())
            if writable:
                object.__setattr__(block, "values", record.values.copy())
            result.append(block)
        else:
            result.append(copy.deepcopy(record))
    return result


def with_gap(records: list[Input]) -> list[Input]:
    """Leave out the records in the middle, and let sample numbers and times jump there."""
    first, last = len(records) // 2, len(records) // 2 + max(1, len(records) // 4)
    result: list[Input] = list(records[:first])
    flag = SampleFlag.LOST
    for record in records[last:] or records[first:]:
        if isinstance(record, SampleBlock):
            jump = round(_gap * record.sample_rate) + 1
            result.append(
                _changed(
                    record,
                    first_index=record.first_index + jump,
                    time_ns=record.time_ns + round(jump / record.sample_rate * NANOSECONDS),
                    flags=record.flags | flag,
                )
            )
            flag = SampleFlag.NONE
        else:
            result.append(record)
    return result


def with_new_rate(records: list[Input]) -> list[Input]:
    """Let the sampling rate double in the middle."""
    result: list[Input] = []
    turn: SampleBlock | None = None
    for number, record in enumerate(records):
        if not isinstance(record, SampleBlock) or number < len(records) // 2:
            result.append(record)
            continue
        rate = 2.0 * record.sample_rate
        flags = record.flags
        if turn is None:
            turn, flags = record, record.flags | SampleFlag.RATE_CHANGED
        time_ns = turn.time_ns + round((record.first_index - turn.first_index) / rate * NANOSECONDS)
        result.append(_changed(record, sample_rate=rate, time_ns=time_ns, flags=flags))
    return result


def _changed(block: SampleBlock, **changes: Any) -> SampleBlock:
    """Replace fields of a block, its array staying as writable as it is."""
    result = replace(block, **changes)
    object.__setattr__(result, "values", block.values)
    return result


def kind_of_input(record: Input) -> Kind:
    """Tell the kind of a record or of samples."""
    return Kind.SAMPLES if isinstance(record, SampleBlock) else kind_of(record)


def _time_ns(record: Input) -> int:
    """Tell when a host has a record at hand [ns UTC]."""
    if isinstance(record, SampleBlock):
        return record.end_ns
    for name in ("time_ns", "start_ns", "issued_ns"):
        if hasattr(record, name):
            return int(getattr(record, name))
    return _first_tick_ns


def fingerprint(record: Input) -> bytes:
    """Reduce all that an algorithm could change in a record to bytes."""
    if isinstance(record, SampleBlock):
        return record.values.tobytes()
    return msgspec.msgpack.encode(record)


def undeclared(outputs: Iterable[Any], info: AlgorithmInfo) -> str:
    """Say what among `outputs` is no record, or none that `info` declares."""
    types = tuple(type_of_kind.values())
    for output in outputs:
        if type(output) not in types:
            return f"expected records, found {type(output).__name__}"
        kind = kind_of(output)
        if kind not in info.produces:
            declared = ", ".join(info.produces) or "nothing"
            return f"expected what info.produces declares ({declared}), found {kind}"
        if isinstance(output, Result) and output.content not in info.contents:
            return (
                f"expected a content of info.contents ({', '.join(info.contents)}), found {shortened(output.content)}"
            )
    return ""


def unreadable(outputs: Iterable[Record]) -> str:
    """Say what among `outputs` cannot be written for others, or is not read back by them."""
    for number, output in enumerate(outputs):
        try:
            data = wire.encode(output, HEADER)
            wire.decode(data, _longest)
        except (ValueError, TypeError, OverflowError, AttributeError, WireError) as error:
            return f"{kind_of(output)} number {number + 1}: {shortened(str(error), 200)}"
    return ""


def wrong_value(setting: Setting) -> object:
    """Give a value that no declaration of this type allows."""
    return _wrong[setting.type]


def garbage(state: bytes) -> Iterator[bytes]:
    """Give what a power cut, another program or an enemy may leave in place of a checkpoint."""
    yield b""
    yield from (b"\x00" * 64, b"null", b"{}", b"[]", b'"x"', b"17", b'{"version": 99}', b"[" * 100_000)
    yield bytes(range(256)) * 4
    if state:
        yield state[: len(state) // 2]
        yield state + state
        yield bytes(byte ^ 0xFF for byte in state)
