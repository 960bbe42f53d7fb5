"""What `image_fetches` asks the short-lived processes that bring an image, and what those answer; free of TUF."""

import msgspec

from agent.trust.decisions import Reading

MANIFEST, OFFER, PAYLOAD = "manifest.json", "offer.json", "payload"
"""In the folder of one image."""


class ImageQuestion(msgspec.Struct, frozen=True):
    """Which image is wanted, from where, and what is known; see `agent.trust.image_fetching.fetch_image`."""

    name: str
    version: str
    state: str
    folder: str
    root: bytes
    repository: str
    clock: Reading
    least: int
    ca: str = ""


class PayloadQuestion(msgspec.Struct, frozen=True):
    """
    What to download.

    Attributes
    ----------
    repository : str
    manifest : str
        File of the manifest, which was verified.
    path : str
        Where it goes.
    rate : float
        [bytes/s]
    ca : str
    """

    repository: str
    manifest: str
    path: str
    rate: float
    ca: str = ""


class PayloadAnswer(msgspec.Struct, frozen=True):
    """What came of it: why not, empty where it is there, and whether that may pass by itself."""

    refusal: str = ""
    passing: bool = False
