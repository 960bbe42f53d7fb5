"""Time in a test's hands."""


class ManualClock:
    """A clock that stands still until someone sleeps on it or moves it."""

    def __init__(self, now_ns: int = 1_700_000_000_003_000_000) -> None:
        self.now = now_ns
        self.monotonic = 5_000_000_000

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 1e9)
        self.monotonic += round(seconds * 1e9)
