"""
Where on the two brokers things are said (version 1 of the tree).

*grid* carries what is small and urgent: presence, topology, switching, faults, questions between devices.
*data* carries what is much: frames, states, events, energy, results.
Nobody writes a topic by hand: these functions are the only place that knows the tree.
"""

import re
from functools import lru_cache
from typing import Literal

from algorithms.api.grid_records import GridState, Proposal
from algorithms.api.records import Command, Event, MeasurementFrame, Record, Reply, Request, Result

BrokerName = Literal["grid", "data"]
BROKERS: tuple[BrokerName, ...] = ("grid", "data")

SWITCH_STATE = "switch-state"
"""Results of this schema are said on the topic of the switch that their terminal names."""
FAULTS = frozenset(("fault-located", "fault-not-located", "earth-fault", "restoration"))
"""Events of these kinds are said on the topic of the network that their evidence names."""

_identifier = re.compile(r"[A-Za-z0-9_-]{1,64}")


@lru_cache(maxsize=1024)
def is_identifier(text: str) -> bool:
    """Tell whether `text` can name a device, an area or a tenant: letters, digits, _ and -, at most 64."""
    return bool(_identifier.fullmatch(text))


def frames(tenant: str, device: str) -> str:
    """Name the topic of a device's measurement frames (data broker); ``+`` for any device."""
    return f"v1/{tenant}/meters/{device}/frames"


def events(tenant: str, device: str) -> str:
    """Name the topic of what happened at a device (data broker)."""
    return f"v1/{tenant}/meters/{device}/events"


def results(tenant: str, device: str, content: str) -> str:
    """
    Name the topic of results of one schema (data broker); the version is no part of it.

    >>> results("default", "m-1", "energy/1")
    'v1/default/meters/m-1/energy'
    >>> results("default", "m-1", "load-forecast/2")
    'v1/default/meters/m-1/results/load-forecast'
    """
    name = content.partition("/")[0]
    return f"v1/{tenant}/meters/{device}/{name if name in ('energy', 'quality') else f'results/{name}'}"


def states(tenant: str, level: str, area: str) -> str:
    """Name the topic of the estimated state of an area (data broker, retained)."""
    return f"v1/{tenant}/states/{level}/{area}"


def session(tenant: str, device: str) -> str:
    """Name the topic of a device's own word on being there (grid broker, retained)."""
    return f"v1/{tenant}/meters/{device}/session"


def availability(tenant: str, device: str) -> str:
    """Name the topic of the catalog's word on a device (grid broker, retained)."""
    return f"v1/{tenant}/meters/{device}/availability"


def catalog_state(tenant: str) -> str:
    """Name the topic of the catalog's word on itself (grid broker, retained)."""
    return f"v1/{tenant}/catalog"


def topology(tenant: str, network: str) -> str:
    """Name the topic of a network's switch states (grid broker, retained)."""
    return f"v1/{tenant}/topology/{network}"


def faults(tenant: str, network: str) -> str:
    """Name the topic of a network's faults and of what became of them (grid broker)."""
    return f"v1/{tenant}/faults/{network}"


def proposals(tenant: str, network: str) -> str:
    """Name the topic of switching steps proposed (grid broker)."""
    return f"v1/{tenant}/proposals/{network}"


def requests(tenant: str, device: str) -> str:
    """Name the topic of questions to a device's algorithms (grid broker)."""
    return f"v1/{tenant}/requests/{device}"


def replies(tenant: str, device: str) -> str:
    """Name the topic of answers to a device (grid broker)."""
    return f"v1/{tenant}/replies/{device}"


def commands(tenant: str, device: str) -> str:
    """Name the topic of orders to a device (grid broker); none is retained."""
    return f"v1/{tenant}/commands/{device}"


def switch_command(tenant: str, switch: str) -> str:
    """Name the topic of orders to a switch (grid broker); none is retained."""
    return f"v1/{tenant}/switches/{switch}/command"


def switch_state(tenant: str, switch: str) -> str:
    """Name the topic of where a switch stands (grid broker, retained)."""
    return f"v1/{tenant}/switches/{switch}/state"


def notify(tenant: str, device: str) -> str:
    """Name the topic that says "ask the catalog now" (grid broker)."""
    return f"v1/{tenant}/devices/{device}/notify"


def log(tenant: str, device: str) -> str:
    """Name the topic of lines of a device's log, while somebody asked to watch it (grid broker)."""
    return f"v1/{tenant}/meters/{device}/log"


def route(  # noqa: C901, PLR0911 - one line for each kind of record
    record: Record, tenant: str, device: str
) -> tuple[BrokerName, str, bool] | None:
    """Tell broker, topic and whether retained for a record that `device` made; None for one that stays inside."""
    match record:
        case MeasurementFrame():
            return "data", frames(tenant, device), False
        case Event() if record.kind in FAULTS and isinstance(record.evidence.get("network"), str):
            return "grid", faults(tenant, record.evidence["network"]), False
        case Event():
            return "data", events(tenant, device), False
        case Result() if record.content.partition("/")[0] == SWITCH_STATE:
            return "grid", switch_state(tenant, record.terminal), True
        case Result():
            return "data", results(tenant, device, record.content), False
        case GridState():
            return "data", states(tenant, record.level, record.area), True
        case Proposal():
            return "grid", proposals(tenant, record.network), False
        case Request():
            return "grid", requests(tenant, record.recipient), False
        case Reply():
            return "grid", replies(tenant, record.recipient), False
        case Command():
            return "grid", switch_command(tenant, record.recipient), False
