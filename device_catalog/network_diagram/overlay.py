"""
What is shown upon a network: its voltages as colours, a fault at a distance, the steps of a switching sequence.

Where it stands: callers of `diagram.draw` fill in an `Overlay`; nothing here knows what the colours mean, so `legend`
says it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from algorithms.api.network_operation import SwitchState


class MarkKind(StrEnum):
    """What a mark looks like."""

    FAULT = "fault"
    """A red bolt."""
    STEP = "step"
    """A numbered circle."""
    NOTE = "note"
    """A small flag."""


@dataclass(frozen=True, slots=True)
class Mark:
    """
    Something at a place of the network.

    Attributes
    ----------
    element : str
        Id of a branch, transformer, switch or node.
    kind : MarkKind
    distance : float or None
        Along a branch from its `from_node` [m]; its middle where None.
    text : str
        Beside the mark; in it for a step, such as ``3``.
    extent : float
        Length of line to each side that may be meant too: an uncertainty [m].
    """

    element: str
    kind: MarkKind = MarkKind.FAULT
    distance: float | None = None
    text: str = ""
    extent: float = 0.0


@dataclass(frozen=True, slots=True)
class Overlay:
    """
    Everything shown upon a network.

    Attributes
    ----------
    node_colours, edge_colours : mapping
        Colours such as ``#c0392b`` by id, of nodes, and of branches, transformers and switches.
    node_notes : mapping
        A few words below a node's name, by id, such as ``229.4 V``.
    marks : tuple of Mark
    switches : mapping
        Where switches stand now, by id; elsewhere they stand normally.
    legend : tuple
        Pairs of a colour and what it means.
    caption : str
        Below the title.
    """

    node_colours: Mapping[str, str] = field(default_factory=dict)
    edge_colours: Mapping[str, str] = field(default_factory=dict)
    node_notes: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    switches: Mapping[str, SwitchState] = field(default_factory=dict)
    legend: tuple[tuple[str, str], ...] = ()
    caption: str = ""
