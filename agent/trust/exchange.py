"""What `fetching` asks the short-lived `verifier`, and what that answers; free of TUF."""

import msgspec

from agent.trust.decisions import Floors, Reading
from device_catalog.contract.trust import TargetFacts

METADATA, TARGET, GIVEN_ROOT = "metadata", "target", "given-root.json"
"""Inside the folder: a copy of what is believed, what was fetched, and the root that the meter was given."""


class Question(msgspec.Struct, frozen=True):
    """
    What to fetch, and what is known.

    Attributes
    ----------
    folder : str
    repository : str
        Address of the catalog, or of any server with the same two folders.
    name, version : str
        Empty for the DSO's policy.
    candidates : tuple of str
        Paths of targets that would fit, the preferred ones first.
    clock : Reading
    floors : Floors
    seconds : float
        How long one file may take, a package's length apart [s].
    rate : float
        Least average speed of a package's download [bytes/s].
    ca : str
        File of the authorities that vouch for the server; empty for the system's.
    least : int or None
        The lowest release that is taken; None for what `floors` say.
    """

    folder: str
    repository: str
    name: str
    version: str
    candidates: tuple[str, ...]
    clock: Reading
    floors: Floors
    seconds: float
    rate: float
    ca: str = ""
    least: int | None = None


class Answer(msgspec.Struct, frozen=True):
    """
    What was found.

    Attributes
    ----------
    refusal : str
        Why nothing is taken, in one sentence; empty where something is.
    path : str
        Of the target in the repository; the file itself is in the folder. Empty where the DSO signed no policy.
    facts : TargetFacts or None
        None for a policy.
    floors : Floors
        With the time to keep.
    judged_at : float
        The trusted time [s since 1970].
    passing : bool
        Whether a refusal may pass by itself, as a network that is away does.
    expires : float
        Until when the signatures of targets count [s since 1970].
    signer : str
        Who answers for the target: ``targets``, the DSO's own role, or the publisher that it was delegated to.
    """

    refusal: str
    path: str = ""
    facts: TargetFacts | None = None
    floors: Floors = Floors()
    judged_at: float = 0.0
    passing: bool = False
    expires: float = 0.0
    signer: str = ""
