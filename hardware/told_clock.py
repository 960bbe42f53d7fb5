"""
What the kernel knows of its UTC, told by one process to others that may not ask.

The call that reads it, adjtimex(2), is also the call that sets clocks: a service that is confined as a meter's is has
neither. So a service of a few lines asks once a second and leaves the answer in a file in memory, with the time of the
machine's uptime; who reads it believes it for a few seconds.
"""

import math
import struct
import time
from collections.abc import Callable
from pathlib import Path

TOLD = Path("/run/tresma-clock/quality")
"""Where the answer stands."""

PERIOD = 1.0
"""How often it is renewed [s]."""

BELIEVED = 5.0
"""For how long it is believed [s]."""

_ANSWER = struct.Struct("<dqdd")  # format's number, uptime [ns], uncertainty [s], frequency [1]; NaN: not known
_FORMAT = 1.0


def uptime_ns() -> int:
    """Read the time since the machine started, sleep included [ns]; the same for all processes."""
    boot_time: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if boot_time is None else time.clock_gettime_ns(boot_time)


def tell(
    ask: Callable[[], tuple[float | None, float | None]],
    file: Path = TOLD,
    wait: Callable[[float], object] = time.sleep,
    rounds: int | None = None,
) -> None:
    """
    Ask and tell, again and again.

    Parameters
    ----------
    ask : callable
        Returns uncertainty [s] and frequency [1] of the kernel's UTC, None where not known.
    file : pathlib.Path
        Replaced at once, so that nobody reads half of it.
    wait : callable
        Waits so many seconds.
    rounds : int, optional
        How often (for ever).

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    new = file.with_suffix(".new")
    while rounds is None or rounds > 0:
        uncertainty, frequency = (math.nan if value is None else value for value in ask())
        new.write_bytes(_ANSWER.pack(_FORMAT, uptime_ns(), uncertainty, frequency))
        new.chmod(0o644)
        new.replace(file)
        if rounds is not None:
            rounds -= 1
        wait(PERIOD)


def told(file: Path = TOLD) -> tuple[float | None, float | None]:
    """
    Read what was told last.

    Returns
    -------
    uncertainty, frequency : float or None
        [s], [1]. None, None where nothing was told, or not lately.
    """
    try:
        number, then, uncertainty, frequency = _ANSWER.unpack(file.read_bytes())
    except (OSError, struct.error):  # nobody tells, or something else stands there
        return None, None
    if number != _FORMAT or not 0 <= uptime_ns() - then <= BELIEVED * 1e9 or not uncertainty > 0:
        return None, None
    return uncertainty, None if math.isnan(frequency) else frequency
