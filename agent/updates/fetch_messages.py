"""What `fetches` asks the short-lived `fetch_process`, and what that answers; free of TUF."""

import msgspec

from agent.trust.decisions import Reading


class FetchQuestion(msgspec.Struct, frozen=True):
    """Which version of what is wanted, from where, and what is known; see `agent.trust.fetching.fetch_algorithm`."""

    name: str
    version: str
    state: str
    root: bytes
    repository: str
    clock: Reading
    ca: str = ""


class FetchAnswer(msgspec.Struct, frozen=True):
    """
    What came of it.

    Attributes
    ----------
    refusal : str
        Why nothing was taken, in one sentence; empty where something was.
    passing : bool
        Whether that may pass by itself.
    release, length : int
    sha256 : str
        Of the package that is in place.
    """

    refusal: str = ""
    passing: bool = False
    release: int = 0
    length: int = 0
    sha256: str = ""
