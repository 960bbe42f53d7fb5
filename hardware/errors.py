"""
What can go wrong at the edge to the world of waveforms.

::

    SourceError
    |-- SourceNotFound    no such driver, board, file or channel
    |-- SourceRefused     the request cannot be granted; says what would fit
    |-- SourceLost        it was there and is gone: unplugged, overrun, stalled
    |-- SourceAway        a board that is not there now and may come; both not found and lost
    `-- RecordingError    a recording cannot be read; says where and what was expected

Wrong use (reading before starting) is a `RuntimeError`.
"""


class SourceError(Exception):
    """Base of what the world does to a waveform source."""


class SourceNotFound(SourceError):  # noqa: N818 - the names say what happened
    """No such driver, board, file or channel."""


class SourceRefused(SourceError):  # noqa: N818
    """The request cannot be granted; the message says what would fit."""


class SourceLost(SourceError):  # noqa: N818
    """The source was there and is gone: unplugged, overrun or stalled. Stop it, and start it again later."""


class SourceAway(SourceNotFound, SourceLost):
    """
    The source is not to be had at the moment, for a reason outside its settings, and may come back by itself.

    A board that is not plugged in, held by another process, or not accessible: whoever waits for a lost source waits
    for this one too.
    """


class RecordingError(SourceError):
    """A recording cannot be read; the message says where and what was expected."""
