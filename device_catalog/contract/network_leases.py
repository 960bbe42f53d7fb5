"""
Leases of networks: who may give orders to the switches of a network, and until when.

One at a time. Each grant has a token larger than all before it; switches refuse orders under a smaller token than they
have seen, so that whoever was cut off and comes back cannot interleave with a successor. A new holder claims the
switches with its token before it moves any (`algorithms.api.switching`). A holder renews a lease before it ends, or
asks for a new one.
"""

from datetime import datetime

import msgspec

from algorithms.api.network_operation import SwitchState
from device_catalog.contract.documents import Strict

LONGEST = 300.0
"""A lease is granted for at most this long at a time [s]."""
AFTERWARDS = 60.0
"""What was ordered under a lease may still move for so long after its end [s]."""
ENDED = "ended-"
"""Who holds a network that an operator took away begins so: nobody, until nothing ordered before can move any more."""


class LeaseRequest(Strict, frozen=True):
    """
    What a holder asks for.

    Attributes
    ----------
    holder : str
        The device that is going to give orders.
    seconds : float
        For how long, up to `LONGEST` [s].
    token : int
        Of the lease that is to be renewed; 0 where a new one is asked for.
    seen : int
        The largest token that the holder has heard switches obey; 0 where it has heard none. The one that is granted is
        larger.
    """

    holder: str
    seconds: float = 60.0
    token: int = 0
    seen: int = 0


class SwitchNewsDocument(Strict, frozen=True):
    """
    Where the holder of a lease has seen some switches stand.

    Attributes
    ----------
    holder : str
    token : int
        Of its lease.
    states : dict
        By id of the switch; those left out are as they were.
    """

    holder: str
    token: int
    states: dict[str, SwitchState]


class LeaseGrant(msgspec.Struct, frozen=True):
    """
    A lease.

    Attributes
    ----------
    network, holder : str
    token : int
    seconds : float
        How long it lasts from when it was asked for [s]; a holder counts from before it asked.
    expires : datetime
        The same by the catalog's clock.
    """

    network: str
    holder: str
    token: int
    seconds: float
    expires: datetime
