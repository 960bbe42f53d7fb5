"""
Finding the message on which a broker hangs up instead of answering: it must not stop all others for ever. Pure.

Beside `Link`, which asks it at every end of a connection. When a broker hangs up with messages in flight and has
answered none, the next ones are sent one at a time; the one that is alone in flight at `STRIKES` such ends in a row is
to be set aside.
"""

from agent.delivery.messages import NOTHING, Key

STRIKES = 5
"""A message on which the broker hangs up this often, alone in flight, is set aside."""
STRIKE_WITHIN = 2.0
"""How soon after sending it the broker hangs up on a message it dislikes [s]."""


class Suspicion:
    """
    What is held against the message that was sent last.

    Attributes
    ----------
    careful : bool
        Whether messages are to be sent one at a time.
    """

    def __init__(self) -> None:
        self.careful = False
        self._answered = False
        self._strikes: tuple[Key, int] = (NOTHING, 0)
        self._sent_at = 0.0

    def connected(self) -> None:
        """Note that a connection begins."""
        self._answered = False

    def sent(self, now: float) -> None:
        """Note that a message went out at `now` [s]."""
        self._sent_at = now

    def answered(self) -> None:
        """Note that the broker answers messages."""
        self._answered = True
        self.careful = False

    def hung_up(self, oldest: Key | None, now: float) -> Key | None:
        """Judge an end of the connection with `oldest` in flight; return a message that is to be set aside."""
        if oldest is None or self._answered:
            return None
        if not self.careful or now - self._sent_at > STRIKE_WITHIN:
            self.careful = True
            return None
        key, strikes = self._strikes
        self._strikes = (oldest, strikes + 1 if key == oldest else 1)
        if self._strikes[1] < STRIKES:
            return None
        self.careful = False
        return oldest
