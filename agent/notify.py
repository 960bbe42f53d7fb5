"""
What the service manager is told: ready, how it goes, still alive.

The protocol is one datagram to the socket that ``NOTIFY_SOCKET`` names (sd_notify(3)), so no library is needed for it.
Without a service manager nothing is sent.
"""

import os
import socket
from collections.abc import Mapping


class ServiceManager:
    """
    The way to the service manager, if there is one.

    Parameters
    ----------
    environment : mapping, optional
        ``os.environ`` by default.

    Attributes
    ----------
    watchdog : float
        Longest silence the service manager bears [s]; 0 for any.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        meant_for = environment.get("WATCHDOG_PID", "")
        microseconds = environment.get("WATCHDOG_USEC", "0")
        ours = not meant_for or meant_for == str(os.getpid())
        self.watchdog = int(microseconds) / 1e6 if ours and microseconds.isdigit() else 0.0

    def ready(self, status: str) -> None:
        """Say that the service runs."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Say in one line how it goes."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(1.0)
            try:
                channel.sendto(text.encode(), self._address)
            except OSError:
                self._address = ""  # the manager is gone: there is nobody left to tell
