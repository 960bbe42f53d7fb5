"""
Whether a meter is well in an image that was just started: pure.

Well is a meter that applied what it should do, samples, and runs the algorithms that ran before. It must be so for the
whole probation without an interruption, and somebody must have been reached: the catalog, or, where that is away, a
broker, after a longer time. An image in which the meter measures and reaches nobody at all is left: nobody could ever
mend it from afar, and where it is the network that is away, it is tried again once the catalog is back.
"""

from typing import NamedTuple

AWAY = 600.0
"""So much longer must a meter be well where the catalog is away [s]."""
GRACE = 300.0
"""So much longer may it take until it is well [s]."""


class Health(NamedTuple):
    """
    How a meter is.

    Attributes
    ----------
    applied : bool
        Whether it runs what it was told last, as far as it can.
    sampling : bool
        Whether samples come, where they should.
    troubled : frozenset of str
        Algorithms that do not run.
    catalog, broker : bool
        Whether it was reached since the start.
    """

    applied: bool
    sampling: bool
    troubled: frozenset[str]
    catalog: bool
    broker: bool


def ailment(health: Health, before: frozenset[str]) -> str:
    """
    Say what is wrong on the meter itself; empty where nothing is.

    >>> ailment(Health(True, False, frozenset(), True, True), frozenset())
    'it does not sample'
    """
    if not health.applied:
        return "it has not applied what it should do"
    if not health.sampling:
        return "it does not sample"
    new = sorted(health.troubled - before)
    if new:
        return f"{', '.join(new[:5])} {'does' if len(new) == 1 else 'do'} not run in it"
    return ""


def verdict(health: Health, ill: str, *, well_for: float, since: float, probation: float) -> tuple[bool, str]:
    """
    Judge an image.

    Parameters
    ----------
    health : Health
    ill : str
        What is wrong on the meter itself now.
    well_for : float
        How long nothing was [s].
    since : float
        How long it runs [s].
    probation : float
        [s]

    Returns
    -------
    tuple of bool and str
        Whether it is good, and why it is not; nothing of both while that is open.

    Examples
    --------
    >>> well = Health(True, True, frozenset(), True, False)
    >>> verdict(well, "", well_for=300.0, since=310.0, probation=300.0)
    (True, '')
    >>> verdict(well._replace(catalog=False), "", well_for=1000.0, since=1200.0, probation=300.0)
    (False, 'it reached neither the catalog nor a broker within 20 min')
    """
    if not ill and well_for >= probation and (health.catalog or (health.broker and well_for >= probation + AWAY)):
        return True, ""
    if since < probation + AWAY + GRACE:
        return False, ""
    minutes = f"within {since / 60:.0f} min"
    if ill:
        return False, f"{ill} {minutes}"
    if not (health.catalog or health.broker):
        return False, f"it reached neither the catalog nor a broker {minutes}"
    return False, f"it was not well for {probation:.0f} s together {minutes}"
