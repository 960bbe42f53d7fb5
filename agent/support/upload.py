"""
A bundle on its way to the catalog: announced by its label, handed over part by part, at most so much a second.

Where it stands: called by `desk` in a thread of its own, since requests block. The catalog says where to go on, so a
connection that broke costs nothing; what it does not want any more (409, 404) ends the matter.
"""

import msgspec

from agent.catalog import CatalogClient
from agent.errors import CatalogError
from device_catalog.contract import paths
from device_catalog.contract.recordings import Received
from device_catalog.contract.support import SUPPORT_FILE, SUPPORT_REQUEST, BundleLabel

RATE = 64_000.0
"""[bytes/s]"""


class SupportClient(CatalogClient):
    """
    The part of the catalog's interface that is about a device's own bundles; every call blocks.

    Parameters
    ----------
    config : AgentConfig
    """

    def announce(self, request: str, label: BundleLabel) -> Received:
        """Say what was made, or why nothing was; return where to go on."""
        headers = {"Content-Type": "application/json"}
        path = self._at(SUPPORT_REQUEST, request)
        return self._read(self._exchange("PUT", path, headers=headers, body=msgspec.json.encode(label))[1])

    def hand_over(self, request: str, offset: int, part: bytes) -> Received:
        """Send a part; return where to go on."""
        headers = {"Content-Type": "application/octet-stream", paths.OFFSET_HEADER: str(offset)}
        return self._read(self._exchange("PATCH", self._at(SUPPORT_FILE, request), headers=headers, body=part)[1])

    def _at(self, path: str, request: str) -> str:
        return path.format(device=self._device, support=request)

    @staticmethod
    def _read(answer: bytes) -> Received:
        try:
            return msgspec.json.decode(answer, type=Received)
        except msgspec.MsgspecError as error:
            raise CatalogError(f"expected the catalog to say where to go on, found {error}") from error
