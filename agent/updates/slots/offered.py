"""
Judging an image by documents that somebody offers, as if they came from the repository: TUF's workflow, no network.

Where it stands: used by `desk` alone, in the helper's process. The documents are not believed but verified, from the
root that was pinned at the helper's first start, with floors of its own, so an old set of documents, one that expired,
or one without enough signatures leads nowhere.
"""

from collections.abc import Iterator
from pathlib import Path

from tuf.api import exceptions
from tuf.ngclient import FetcherInterface

from agent.trust import verifier
from agent.trust.decisions import Reading
from agent.trust.image_fetching import FetchedImage, fetch_image
from agent.updates.slots.messages import Offer
from device_catalog.contract.images import image_path
from device_catalog.contract.trust import METADATA, TARGETS

_BASE = "offer:"


class Offered(FetcherInterface):
    """
    Fetches from an offer.

    Parameters
    ----------
    offer : Offer
    path : str
        Of the manifest among the targets.
    """

    def __init__(self, offer: Offer, path: str) -> None:
        self._offer = offer
        self._folder, _, self._name = f"{_BASE}{TARGETS}/{path}".rpartition("/")

    def _fetch(self, url: str) -> Iterator[bytes]:
        text = self._offer.documents.get(url.removeprefix(f"{_BASE}{METADATA}/"))
        if url.startswith(f"{self._folder}/") and url.endswith(f".{self._name}"):
            text = self._offer.manifest
        if text is None:
            raise exceptions.DownloadHTTPError(f"{url[-80:]} is not offered", 404)
        return iter([text.encode()])


def judged(
    offer: Offer, name: str, version: str, *, state: Path, root: bytes, clock: Reading, least: int
) -> FetchedImage:
    """
    Judge an offer.

    Parameters
    ----------
    offer : Offer
    name, version : str
        Of the image that is meant.
    state : pathlib.Path
        The helper's own.
    root : bytes
        Its root of trust.
    clock : Reading
    least : int
        The lowest release that is taken.

    Raises
    ------
    TrustError
    """
    fetcher = Offered(offer, image_path(name, version))
    return fetch_image(
        name,
        version,
        state=state,
        root=root,
        repository=_BASE,
        clock=clock,
        least=least,
        ask=lambda question, _: verifier.answer(question, fetcher),
    )
