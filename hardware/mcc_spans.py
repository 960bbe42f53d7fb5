"""The input range of a converter, and how people write it; pure, the vocabulary of `mcc_boards` and its users."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """
    An input range.

    Attributes
    ----------
    low, high : float
        [V]

    Examples
    --------
    >>> str(bipolar(2.5)), str(Span(0.0, 10.0))
    ('+-2.5 V', '0..10 V')
    """

    low: float
    high: float

    def __str__(self) -> str:
        return f"+-{self.high:g} V" if self.low == -self.high else f"{self.low:g}..{self.high:g} V"


def bipolar(volts: float) -> Span:
    """Return the range from ``-volts`` to ``+volts``."""
    return Span(-volts, volts)


def span_from_text(text: str) -> Span:
    """
    Read a range as people write it.

    Raises
    ------
    ValueError
        When it is none.

    Examples
    --------
    >>> span_from_text("±10 V") == span_from_text("+-10") == bipolar(10)
    True
    >>> span_from_text("0..5")
    Span(low=0.0, high=5.0)
    """
    words = text.strip().removesuffix("V").strip()
    for mark in ("+-", "±"):
        if words.startswith(mark):
            return _checked(bipolar(float(words.removeprefix(mark))), text)
    low, dots, high = words.partition("..")
    if not dots:
        raise ValueError(f"a range such as +-10 or 0..10 [V] expected, found {text[:40]!r}")
    return _checked(Span(float(low), float(high)), text)


def _checked(span: Span, text: str) -> Span:
    if not (math.isfinite(span.low) and math.isfinite(span.high) and span.low < span.high):
        raise ValueError(f"a range such as +-10 or 0..10 [V] expected, found {text[:40]!r}")
    return span
