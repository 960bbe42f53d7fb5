"""
Whether a version on probation makes what the one before made: pure.

Where it stands: `trial` counts both in a `Turn` and asks here. Series that the old one hardly made say nothing; where
the new one was given other settings, only silence counts against it.
"""

from collections.abc import Mapping

from agent.updates.turn import Series
from algorithms.api.manifest import AlgorithmInfo

SHARE = 0.9
"""Of the old one's records that the new one must make at least [1]."""

SLACK = 3
"""Records by which both may differ at the ends of the time that is compared."""

_steady = ("frame", "result", "grid-state")
"""What both make at the same times; an event may have begun before the new one saw anything."""


def declared(made: Mapping[Series, int], info: AlgorithmInfo) -> dict[Series, int]:
    """Leave of what was made only what a version declares to make; that it leaves out a content is its own affair."""
    return {
        series: count
        for series, count in made.items()
        if series[0] in info.produces and (series[0] != "result" or series[1] in info.contents)
    }


def shortfall(old: Mapping[Series, int], new: Mapping[Series, int], *, same_settings: bool) -> str:
    """
    Say what the new version did not make; empty where nothing is missing.

    Parameters
    ----------
    old, new : mapping
        Records of each series that both made in the same time.
    same_settings : bool
        Whether both should make the same number.

    Examples
    --------
    >>> shortfall({("frame", "m-1"): 500}, {}, same_settings=True)
    'it made 0 records of frame of m-1 where the version before made 500'
    >>> shortfall({("frame", "m-1"): 500}, {("frame", "m-1"): 460}, same_settings=True)
    ''
    """
    for series, expected in old.items():
        found = new.get(series, 0)
        least = SHARE * expected - SLACK if same_settings else float(expected > SLACK)
        if found < least:
            name = " of ".join(str(part) for part in series if isinstance(part, str) and part)
            return f"it made {found} records of {name} where the version before made {expected}"
    return ""


def is_abreast(
    old: Mapping[Series, int], new: Mapping[Series, int], made_by_old: Mapping[Series, int], *, seen_working: bool
) -> bool:
    """
    Tell whether the new version can take over without a gap.

    Parameters
    ----------
    old, new : mapping
        Newest time of each series [ns UTC].
    made_by_old : mapping
        Records of each series that the old one made since the new one runs.
    seen_working : bool
        Whether the new one said that it took something in.

    Examples
    --------
    >>> is_abreast({("frame",): 20}, {("frame",): 20}, {("frame",): 1}, seen_working=False)
    True
    >>> is_abreast({("frame",): 40}, {("frame",): 20}, {("frame",): 2}, seen_working=True)
    False
    """
    awaited = [series for series, count in made_by_old.items() if count and series[0] in _steady]
    if any(new.get(series, -1) < old.get(series, 0) for series in awaited):
        return False
    return seen_working or bool(awaited)
