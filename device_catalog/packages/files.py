"""Files of a repository: replaced whole, and durable before the next one is begun."""

import os
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
