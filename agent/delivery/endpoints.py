"""
Which of a broker's endpoints to try next, and how long to wait before. Pure: chance and time come in.

The list is in order of preference. After a failure the next is tried; after a whole round a pause follows, drawn at
random below a bound that doubles each round ("full jitter"), so that a thousand meters do not come back at once. Who
had to settle for another than the first tries to return after a while, and less often each time that fails.
"""

from urllib.parse import urlsplit

import msgspec

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class Endpoint(msgspec.Struct, frozen=True):
    """Where a broker listens, and whether through TLS."""

    url: str
    host: str
    port: int
    tls: bool


class Patience(msgspec.Struct, frozen=True):
    """
    How long a link tries and waits.

    Attributes
    ----------
    connect : float
        Until the broker answers [s].
    shortest, longest : float
        Bound of the pause after the first failed round, and the highest bound [s].
    stable : float
        A connection that lasted this long makes the failures before it forgotten [s].
    comeback : float
        On another endpoint than the first, how long until the first is tried again [s]; doubles each time.
    longest_comeback : float
        [s]
    """

    connect: float = 10.0
    shortest: float = 0.5
    longest: float = 60.0
    stable: float = 60.0
    comeback: float = 300.0
    longest_comeback: float = 3600.0


def endpoint(url: str) -> Endpoint:
    """
    Read an endpoint.

    Raises
    ------
    ValueError
        When it is none.

    Examples
    --------
    >>> endpoint("mqtt://broker.example").port
    1883
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"expected an endpoint such as mqtt://host:1883, found {url!r}: {error}") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username or parts.path not in ("", "/"):
        raise ValueError(f"expected an endpoint such as mqtt://host:1883 or mqtts://host:8883, found {url!r}")
    return Endpoint(url, parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.scheme == "mqtts")


class Endpoints:
    """The list, where a link stands in it, and what failed."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._list: tuple[Endpoint, ...] = ()
        self._next = 0
        self._rounds = 0
        self._comebacks = 0

    def replace(self, urls: tuple[str, ...]) -> bool:
        """Take a new list; tell whether it differs from the one before."""
        new = tuple(endpoint(url) for url in urls)
        if new == self._list:
            return False
        self._list = new
        self._next = self._rounds = self._comebacks = 0
        return True

    def __contains__(self, wanted: object) -> bool:
        return wanted in self._list

    def next(self) -> Endpoint | None:
        """Tell which to try now; None when there is none at all."""
        return self._list[self._next] if self._list else None

    @property
    def preferred(self) -> Endpoint | None:
        """The first of the list."""
        return self._list[0] if self._list else None

    def failed(self, chance: float) -> float:
        """
        Go on to the next endpoint.

        Parameters
        ----------
        chance : float
            Uniform within [0, 1).

        Returns
        -------
        float
            How long to wait before it is tried [s].
        """
        self._next += 1
        if self._next < len(self._list):
            return 0.0
        self._next = 0
        bound = min(self._patience.longest, self._patience.shortest * 2.0 ** min(self._rounds, 30))
        self._rounds += 1
        return chance * bound

    def lost(self, lasted: float) -> None:
        """Note that a connection ended after `lasted` [s]; the preferred endpoint is tried first again."""
        if lasted >= self._patience.stable:
            self._rounds = 0
        self._next = 0

    def comeback(self) -> float:
        """Tell how long to stay on another endpoint than the first before trying the first [s]."""
        return min(self._patience.longest_comeback, self._patience.comeback * 2.0 ** min(self._comebacks, 30))

    def came_back(self) -> None:
        """Note that the first endpoint was tried again."""
        self._comebacks += 1
