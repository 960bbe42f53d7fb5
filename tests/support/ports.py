"""
Free loopback ports for the servers that tests start.

Between the moment a port is found free and the moment a server takes it, anybody else may. Tests run in several
processes at once, so each of these looks from a place of its own, below the ports that the kernel hands out.
"""

import itertools
import os
import socket

PORTS = range(12_000, 32_000)
_place = os.getpid() * 1_009 % len(PORTS)
_numbers = itertools.cycle((*PORTS[_place:], *PORTS[:_place]))


def free_port() -> int:
    """Return a TCP port that was free a moment ago, and that was not returned lately."""
    for port in itertools.islice(_numbers, len(PORTS)):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"expected a free port of {PORTS}, found none")
