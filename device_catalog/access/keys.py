"""
The catalog's own keys while it runs: its authority, its server's certificate, and the one it shows to brokers.

What it made itself it renews itself; a certificate from elsewhere is only read.
"""

import socket
import ssl
import threading
from pathlib import Path

from device_catalog.access.tls import (
    Files,
    OwnCertificate,
    ServerCertificate,
    client_context,
    load,
    names_of,
    now,
    server_context,
    speaks_tls,
)
from device_catalog.authority.authority import Authority
from device_catalog.config import CatalogConfig


class Keys:
    """
    The catalog's authority, and the certificates that it made for the catalog itself.

    Parameters
    ----------
    config : CatalogConfig

    Attributes
    ----------
    authority : Authority
    context : ssl.SSLContext or None
        For the server; None where it speaks plain HTTP.
    """

    def __init__(self, config: CatalogConfig) -> None:
        folder = Path(config.state) / "authority"
        self.authority = Authority.open(folder)
        self._own = OwnCertificate(self.authority, folder)
        self._made: ServerCertificate | None = None
        self._making = threading.Lock()  # several threads meet brokers at once
        self.context: ssl.SSLContext | None = None
        if not speaks_tls(config):
            return
        if config.certificate:
            files = Files(Path(config.certificate), Path(config.key))
        else:
            made = folder
            if not config.database.startswith("sqlite:"):  # several machines share the folder, each with its name
                made = folder / "hosts" / socket.gethostname()
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made = ServerCertificate(self.authority, made, names_of(config.host, config.names))
            self._made.ensure(now())
            files = self._made.files
        self.context = server_context(files, self.authority.issuers)

    def renew(self) -> None:
        """Make the server's certificate anew where it ends soon."""
        if self._made is not None and self.context is not None and self._made.ensure(now()):
            load(self.context, self._made.files)

    def broker_context(self) -> ssl.SSLContext:
        """Make a context for a connection to a broker."""
        with self._making:
            file = self._own.file(now())
        return client_context(self.authority.anchors, file)
