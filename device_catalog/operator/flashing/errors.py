"""
Why a card is not written.

::

    OperatorError
    |-- TargetRefused    nothing was touched
    `-- WritingFailed    begun and not ended: the target has no partition table and does not boot
"""

from device_catalog.operator.errors import OperatorError


class TargetRefused(OperatorError):  # noqa: N818 - the name says what happened
    """A target must not be written, or cannot be; nothing on it was touched."""


class WritingFailed(OperatorError):  # noqa: N818 - the name says what happened
    """What was begun was not ended: the target does not boot, and is to be written again or thrown away."""
