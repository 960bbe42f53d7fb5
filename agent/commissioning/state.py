"""
What the page remembers on the disk: that a commissioning is over, and that it was opened again since.

One small file, replaced whole. A page that finds its commissioning over ends at once; ``--reopen`` and the settings in
the catalog begin another one. Times are those of this machine's clock.
"""

from pathlib import Path

import msgspec

from agent.files import write_durably

MAXIMUM_LENGTH = 4096


class _Kept(msgspec.Struct, frozen=True):
    closed: float = 0.0
    reopened: float = 0.0


class PageState:
    """
    The page's own file.

    Parameters
    ----------
    folder : pathlib.Path
    wanted : pathlib.Path
        File in which the agent says since when the settings want another commissioning.
    """

    def __init__(self, folder: Path, wanted: Path) -> None:
        self._path = folder / "page.json"
        self._wanted = wanted

    @property
    def reopened(self) -> float:
        """When the page was opened again [s since 1970]; 0 for never."""
        return max(self._kept().reopened, _read_time(self._wanted))

    @property
    def is_over(self) -> bool:
        """Whether the last commissioning is over, and none was begun since."""
        return self._kept().closed > self.reopened

    def close(self, made: float) -> None:
        """
        Note that a report made at `made` [s since 1970] was accepted.

        Raises
        ------
        OSError
        """
        self._keep(msgspec.structs.replace(self._kept(), closed=made))

    def reopen(self, now: float) -> None:
        """
        Begin another commissioning.

        Raises
        ------
        OSError
        """
        kept = self._kept()
        self._keep(msgspec.structs.replace(kept, reopened=max(now, kept.closed)))

    def _kept(self) -> _Kept:
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(MAXIMUM_LENGTH), type=_Kept)
        except (OSError, msgspec.DecodeError):  # a page that forgets is open: that costs a look, not a commissioning
            return _Kept()

    def _keep(self, kept: _Kept) -> None:
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_durably(self._path, msgspec.json.encode(kept))
        self._path.chmod(0o644)  # root and the page read each other's


def _read_time(path: Path) -> float:
    try:
        with path.open("rb") as file:
            return float(file.read(64))
    except (OSError, ValueError):
        return 0.0
