"""
The network document: how a network is written down in JSON, version 1.

Where it stands: a DSO's engineers or an importer write a `NetworkDocument`; `network_problems` judges it;
`network_reader` turns a right one into the frozen `network.NetworkModel` that algorithms work on. Switch states come
in a document of their own (`SwitchStates`), because they change by the minute and the rest by the year.

Rules:

- Ids are the CIM mRIDs where they are known, and unique in the whole document.
- SI units, never per unit and never kilo: V, A, W, var, ohm, S, m. A misplaced prefix is looked for and named.
- Phases are written together, ``ABC``, ``ABCN``, ``A``; a matrix has one row and one column for each letter, in
  that order.
- P and Q are positive from the node into the equipment (CIM), so a feeding generator has ``p`` below 0.
- Voltages of equipment ratings and nodes (``base_voltage``, ``rated_voltage``) are line to line, as in CIM.
- Unknown fields are refused: a misspelt one must not be ignored.
"""

import msgspec

from algorithms.api.network_equipment import Branch, Generator, LineType, Load, Node, Source, Transformer
from algorithms.api.network_operation import Area, Protection, Switch, SwitchState, Terminal

SCHEMA = "network/1"
STATES_SCHEMA = "topology/1"

MAXIMUM_REVISION = 2**53 - 1
"""Highest revision of a document; every reader of JSON keeps a number up to it as it is (RFC 8259, section 6)."""


class NetworkDocument(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="schema",
    tag=SCHEMA,
):
    """
    A whole network, or the part of it that an agent needs, fed by an equivalent source where it was cut.

    Attributes
    ----------
    network : str
        Its id.
    revision : int
        From 1; grows with every change.
    frequency : float
        Nominal frequency the reactances are given for [Hz].
    """

    network: str
    revision: int
    name: str = ""
    frequency: float = 50.0
    nodes: tuple[Node, ...] = ()
    sources: tuple[Source, ...] = ()
    line_types: tuple[LineType, ...] = ()
    branches: tuple[Branch, ...] = ()
    transformers: tuple[Transformer, ...] = ()
    loads: tuple[Load, ...] = ()
    generators: tuple[Generator, ...] = ()
    switches: tuple[Switch, ...] = ()
    protections: tuple[Protection, ...] = ()
    terminals: tuple[Terminal, ...] = ()
    areas: tuple[Area, ...] = ()


class SwitchStates(msgspec.Struct, frozen=True, tag_field="schema", tag=STATES_SCHEMA):
    """
    Where all switches of a network stand; goes over the wire under a header, as records do.

    Attributes
    ----------
    network : str
    revision : int
        Grows with every change, apart from the model's.
    states : dict
        By id of the switch.
    """

    network: str
    revision: int
    states: dict[str, SwitchState]
