"""
What the readings of a scan leave in the dark, island by island, by name.

Where it stands: plug-ins publish it beside each state, so that nobody takes a guess for a measurement.

Rules:

- A voltage is observable where its standard uncertainty after the scan is at most `estimate.UNKNOWN` of nominal. That
  includes what pseudo-measurements tell, with the sigma they state.
- A power is observable where it was read or forecast, or where readings elsewhere leave less than half of what it
  could be.
- An island without a source is dark; one without any voltage reading follows its source's stated voltage, if that has
  an uncertainty, or is not observable as a whole.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Truths
from algorithms.grid.estimation.estimate import Estimate
from algorithms.grid.estimation.measurement import Quantity


@dataclass(frozen=True, slots=True)
class IslandView:
    """
    One island as the readings see it.

    Attributes
    ----------
    nodes : tuple of str
    fed : bool
        Whether a source feeds it.
    voltage_readings : int
        Voltages read in it.
    hidden : tuple of str
        Its nodes whose voltage is not determined in some phase.
    """

    nodes: tuple[str, ...]
    fed: bool
    voltage_readings: int
    hidden: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """
    What a scan sees.

    Attributes
    ----------
    islands : tuple of IslandView
    hidden_nodes : tuple of str
        Nodes that are fed, but whose voltage is not determined in some phase.
    dark_nodes : tuple of str
        Nodes that no source feeds.
    hidden_powers : tuple of str
        Loads and generators of which nothing was read or forecast, and that readings elsewhere do not determine.
    """

    islands: tuple[IslandView, ...]
    hidden_nodes: tuple[str, ...]
    dark_nodes: tuple[str, ...]
    hidden_powers: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every voltage that there is can be told."""
        return not self.hidden_nodes


def view(estimate: Estimate) -> View:
    """Tell what the readings of a scan leave in the dark."""
    model = estimate.model
    live = estimate.energised[:, :3]
    hidden: Truths = np.asarray((live & ~estimate.observable[:, :3]).any(axis=1))
    dark = ~live.any(axis=1)
    read = np.zeros(len(model.nodes), dtype=np.intp)
    equations = estimate.gain.tangent.observation.equations.extra
    present = np.setdiff1d(np.arange(len(equations)), estimate.scan.missing)
    for index in equations[present].tolist():
        measurement = estimate.measurements[index]
        if measurement.quantity == Quantity.VOLTAGE:
            read[model.nodes.rows[measurement.place]] += 1
    names = model.nodes.ids
    islands = tuple(
        IslandView(
            nodes=tuple(names[node] for node in island.nodes.tolist()),
            fed=len(island.sources) > 0,
            voltage_readings=int(read[island.nodes].sum()),
            hidden=tuple(names[node] for node in island.nodes.tolist() if hidden[node]),
        )
        for island in model.islands()
    )
    return View(
        islands=islands,
        hidden_nodes=tuple(names[node] for node in np.flatnonzero(hidden).tolist()),
        dark_nodes=tuple(names[node] for node in np.flatnonzero(dark).tolist()),
        hidden_powers=_hidden_powers(estimate),
    )


def _hidden_powers(estimate: Estimate) -> tuple[str, ...]:
    elements = estimate.gain.tangent.response.elements
    count = len(elements)
    unknown = np.flatnonzero(~estimate.scan.known)
    if not len(unknown):
        return ()
    start = len(estimate.scan.start) - 2 * count
    at = start + unknown
    left: Truths = np.asarray(estimate.variance_of_state[at] > (0.5 * estimate.scan.u_state[at]) ** 2)
    rows = np.unique(elements.row[unknown[left] % count]).tolist()
    names = (*estimate.model.loads.ids, *estimate.model.generators.ids)
    return tuple(names[row] for row in rows)
