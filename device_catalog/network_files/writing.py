"""A network document as a file that people can read, edit and compare: one piece of equipment a line."""

import os
import tempfile
from pathlib import Path

import msgspec

from algorithms.api.network_document import NetworkDocument


def as_text(document: NetworkDocument) -> str:
    """Write a document as JSON, one element a line."""
    fields = msgspec.to_builtins(document)
    lines = []
    for name, value in fields.items():
        if isinstance(value, (list, tuple)) and value:
            elements = ",\n  ".join(msgspec.json.encode(element).decode() for element in value)
            lines.append(f' "{name}": [\n  {elements}\n ]')
        else:
            lines.append(f' "{name}": {msgspec.json.encode(value).decode()}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_file(target: Path, content: bytes) -> None:
    """
    Write a file whole or not at all.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
