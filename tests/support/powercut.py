"""
What a disk holds after a power cut at any moment of a recorded run.

A run under ``strace`` is a list of writes, truncations, name changes and syncs. The simulated disk applies them one
by one and can be cut after each: what was synced is there; what was not is gone, or there, or there in part (any
subset of the writes, the last one torn at a sector). Names follow ext4: they are durable with the next sync of
anything on that file system. ``kill -9`` is no power cut: it leaves the page cache.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SECTOR = 512
SYSTEM_CALLS = "openat,write,pwrite64,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat,renameat2"

Leftover = Literal["gone", "kept", "some"]
LEFTOVERS: tuple[Leftover, ...] = ("gone", "kept", "some")


@dataclass(frozen=True)
class Call:
    """One system call that has returned: what it was, on which path, and its other arguments."""

    name: str
    path: str
    at: float
    data: bytes = b""
    offset: int | None = None
    other: str = ""


def strace(output: Path) -> list[str]:
    """Give the words to put before a command so that `output` records it."""
    return [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-ttt",
        "-xx",
        "-s",
        "1000000",
        "-o",
        str(output),
        "-e",
        f"trace={SYSTEM_CALLS}",
    ]


_line = re.compile(r"(\d+)\s+(\d+\.\d+) (.*)", re.DOTALL)
_text = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_descriptor = re.compile(r"(\d+)<([^>]*)>")


def calls(trace: Path) -> Iterator[Call]:
    """Read what `strace` recorded; calls that failed change nothing and are left out."""
    unfinished: dict[str, str] = {}
    for line in trace.read_text().splitlines():
        match = _line.fullmatch(line)
        if match is None:
            continue
        process, at, text = match.groups()
        if text.endswith("<unfinished ...>"):
            unfinished[process] = text[: -len("<unfinished ...>")]
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>\s?", text)
        if resumed:
            text = unfinished.pop(process, "") + text[resumed.end() :]
        name, _, rest = text.partition("(")
        result = re.search(r"\)\s+= (-?\d+)", rest)
        if result is None or int(result[1]) < 0:
            continue
        yield from _call(name, rest, float(at), int(result[1]))


def _call(name: str, rest: str, at: float, result: int) -> Iterator[Call]:
    texts = [bytes.fromhex(item.replace("\\x", "")) for item in _text.findall(rest)]
    descriptor = _descriptor.match(rest)
    path = _unescaped(descriptor[2]) if descriptor else ""
    if name == "unlinkat" and path and not texts[0].startswith(b"/"):  # by one who stands in the folder, as rmtree does
        texts[0] = f"{path}/".encode() + texts[0]
    if name in ("write", "pwrite64"):
        offset = int(rest[: rest.rindex(")")].rsplit(",", maxsplit=1)[-1]) if name == "pwrite64" else None
        yield Call("write", path, at, texts[0][:result], offset)
    elif name in ("fsync", "fdatasync"):
        yield Call("sync", path, at)
    elif name == "ftruncate":
        yield Call("truncate", path, at, offset=int(rest[: rest.rindex(")")].rsplit(",", maxsplit=1)[-1]))
    elif name == "openat" and "O_CREAT" in rest:
        yield Call("create", texts[0].decode(), at, other="truncate" if "O_TRUNC" in rest else "")
    elif name.startswith("unlink"):
        yield Call("unlink", texts[0].decode(), at)
    elif name.startswith("rename"):
        yield Call("rename", texts[0].decode(), at, other=texts[1].decode())


def _unescaped(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, data), or (length, None)
    position: int = 0

    def apply(self, content: bytearray, changes: list[tuple[int, bytes | None]]) -> None:
        for offset, data in changes:
            if data is None:
                del content[offset:]
                content.extend(bytes(offset - len(content)))
            else:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data


class Disk:
    """One folder of files, with what is durable and what is not yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}

    def apply(self, call: Call) -> bool:
        """Let a call happen; tell whether it touched this folder."""
        if not call.path.startswith(self._folder):
            return False
        name = call.path[len(self._folder) :].lstrip("/")
        if call.name == "create":
            file = self._names.setdefault(name, _File())
            file.position = 0
            if call.other == "truncate":
                file.changes.append((0, None))
        elif call.name == "write":
            file = self._names[name]
            offset = file.position if call.offset is None else call.offset
            if call.offset is None:
                file.position += len(call.data)
            file.changes.append((offset, call.data))
        elif call.name == "truncate":
            self._names[name].changes.append((call.offset or 0, None))
        elif call.name == "unlink":
            self._names.pop(name, None)
        elif call.name == "rename":
            self._rename(name, call.other[len(self._folder) :].lstrip("/"))
        elif call.name == "sync":
            self._durable_names = dict(self._names)
            file = self._names.get(name, _File())
            file.apply(file.durable, file.changes)
            file.changes = []
        return True

    def _rename(self, name: str, other: str) -> None:
        if name in self._names:
            self._names[other] = self._names.pop(name)
            return
        inside = [one for one in self._names if one.startswith(f"{name}/")]  # a folder, with all that is in it
        self._names.update({other + one.removeprefix(name): self._names.pop(one) for one in inside})

    def cut(self, target: Path, leftover: Leftover, chance: random.Random) -> None:
        """Write to `target` what is left when power fails now."""
        names = self._durable_names if leftover == "gone" or chance.random() < 0.5 else self._names
        for name, file in names.items():
            if not name:
                continue
            content = bytearray(file.durable)
            if leftover == "kept":
                file.apply(content, file.changes)
            elif leftover == "some":
                file.apply(content, [_torn(change, chance) for change in file.changes if chance.random() < 0.5])
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)


def _torn(change: tuple[int, bytes | None], chance: random.Random) -> tuple[int, bytes | None]:
    offset, data = change
    if data is None or chance.random() < 0.7:
        return change
    return offset, data[: SECTOR * chance.randint(0, len(data) // SECTOR)]
