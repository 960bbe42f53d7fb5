"""Files of a repository: replaced whole, and durable before the next one is begun."""

import os
import shutil
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file; a reader sees the old content or the new."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_whole(source: Path, path: Path) -> None:
    """Copy a file, however long; it appears only when it is whole."""
    temporary = path.with_name(f".{path.name}.new")
    with source.open("rb") as reading, temporary.open("wb") as file:
        shutil.copyfileobj(reading, file, 1024 * 1024)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
