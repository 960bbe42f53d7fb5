"""Where Python's libraries and this project's own packages are: what an algorithm may read besides its own package."""

import os
import sys
from functools import cache


@cache
def libraries() -> tuple[str, ...]:
    """List the folders, as they are when this is first asked."""
    paths = {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    paths.add(os.path.dirname(os.path.realpath(os.__file__)))  # noqa: PTH120 - pathlib is not worth its memory here
    for name in ("agent", "algorithms", "hardware", "device_catalog"):
        for folder in getattr(sys.modules.get(name), "__path__", ()):
            paths.add(folder)
    return tuple(sorted(paths))
