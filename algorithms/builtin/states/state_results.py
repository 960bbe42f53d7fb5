"""
An estimate written as a `GridState`: what is told of which nodes and branches, and what goes up as the equivalent.

Where it stands: last step of `area_state`. Made once for an area (`StateWriter`), called for each interval.

Rules:

- Nothing that is not observable is told: its voltages are left out, and its node is named.
- At a node of more than 1 kV without neutral, voltages between phases are told beside those to earth. Where the area
  hangs by a winding that carries no zero sequence, as below every Dyn transformer, only those between phases go up.
- Where readings still contradict each other after all suspects were left out, every uncertainty grows by the ratio of
  Birge, sqrt(J / degrees of freedom): the state is no surer than its readings agree.
- Nothing goes up where that ratio is large (`TORN`), or where nobody can tell which of several sources is the wrong
  one: the area above then takes its forecast, which is unsure and says so. Suspects are told with every state.
- P and Q of the equivalent are what the area draws at its head from the area above. Where the zero sequence there is
  not known, how they are shared by the phases is less sure than their sum, which is told besides (``ABC``).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace as _replace

from algorithms.api.grid_records import BranchState, GridState, NodeState, Suspect
from algorithms.api.network import NetworkModel
from algorithms.api.network_operation import Area
from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.api.readings import Estimate as Value
from algorithms.api.readings import Phasor
from algorithms.builtin.states.state_metering import TORN
from algorithms.builtin.states.state_suspects import Judged
from algorithms.grid.estimation.estimate import Estimate
from algorithms.grid.estimation.flow import Flow
from algorithms.grid.estimation.measurement import ALL, PAIRS, PHASES
from algorithms.grid.estimation.observability import view as what_is_seen

MEDIUM_VOLTAGE = 1000.0
"""Above this, line to line, voltages between phases are told where there is no neutral [V]."""
MOST_NAMES = 200
"""Names told of unobservable nodes, suspects and missing sources each."""


@dataclass(frozen=True, slots=True)
class Telling:
    """
    How much is told.

    Attributes
    ----------
    nodes : str
        ``all``, ``metered`` or ``head``.
    most_nodes : int
    branches : str
        ``all``, ``transformers`` or ``none``.
    """

    nodes: str
    most_nodes: int
    branches: str


@dataclass(frozen=True, slots=True)
class Occasion:
    """
    What a state is told of, besides its figures.

    Attributes
    ----------
    time_ns : int
    interval : float
        [s]
    missing : sequence of str
    counts : mapping
    """

    time_ns: int
    interval: float
    missing: Sequence[str]
    counts: Mapping[str, int]


class StateWriter:
    """
    Writes the states of one area.

    Parameters
    ----------
    model : NetworkModel
    area : Area
    telling : Telling
    metered : iterable of str
        Nodes with a source of readings.
    """

    def __init__(self, model: NetworkModel, area: Area, telling: Telling, metered: Iterable[str]) -> None:
        self._model, self._area = model, area
        rows, head = model.nodes.rows, model.nodes.rows[area.head]
        first = [head, *sorted({rows[node] for node in metered if node in rows} - {head})]
        wanted = {"head": [head], "metered": first, "all": [*first, *(set(rows.values()) - set(first))]}[telling.nodes]
        self._told = wanted[: telling.most_nodes]
        self._head = head
        self._sources = [model.sources.ids[row] for row in np.flatnonzero(model.sources.node == head)]
        bare = (model.nodes.base_voltage > MEDIUM_VOLTAGE) & ~model.nodes.conductors[:, 3]
        self._pairs = np.array([row for row in {*self._told, head} if bare[row]], dtype=np.intp)
        self._blocked = bool(bare[head]) and _is_blocked(model, head)
        self._branches = {
            "none": (),
            "transformers": model.transformers.ids,
            "all": (*model.branches.ids, *model.transformers.ids),
        }[telling.branches]
        injections = [(row, table) for table in (model.loads, model.generators) for row in table.node.tolist()]
        self._at_node: dict[int, list[int]] = {}
        for number, (node, _) in enumerate(injections):
            self._at_node.setdefault(node, []).append(number)
        self._delta = [kind == "delta" for table in (model.loads, model.generators) for kind in table.connection]

    def unusable(self, occasion: Occasion, reason: str, suspects: tuple[Suspect, ...] = ()) -> GridState:
        """Write that there is no state."""
        blank = self._blank(occasion)
        return _replace(blank, converged=False, reason=reason, suspects=suspects, omitted=len(self._model.nodes))

    def state(self, judged: Judged, occasion: Occasion) -> GridState:
        """Write a state."""
        examined = judged.examined
        estimate = examined.estimate
        suspects = tuple(
            Suspect(one.measurement, one.normalised_residual, one.alternatives[:10])
            for one in judged.suspects[:MOST_NAMES]
        )
        if not estimate.converged:
            return self.unusable(occasion, estimate.reason, suspects)
        freedom = estimate.degrees_of_freedom
        reason, widen = "", 1.0
        if not examined.consistent:
            widen = max(math.sqrt(estimate.objective / freedom), 1.0) if freedom else 1.0
            reason = (
                f"readings contradict each other: J {estimate.objective:.4g} where {examined.limit:.4g} is the most to "
                f"be expected; uncertainties are {widen:.3g} times as large for it"
            )
        if judged.doubt:
            reason = (
                f"readings contradict each other, and any one of {', '.join(judged.doubt[:10])} may be wrong: "
                f"estimated without {judged.doubt[0]}"
            )
        in_doubt = widen > TORN or bool(judged.doubt)
        view = _View(estimate, self._pairs, widen)
        there = estimate.energised[:, :3]
        seen = what_is_seen(estimate)
        nodes = [self._node(row, view) for row in self._told if there[row].any()]
        return _replace(
            self._blank(occasion),
            nodes=tuple(node for node in nodes if node.voltage),
            branches=tuple(
                state for name in self._branches if (state := _branch(name, estimate.flow(name), widen)) is not None
            ),
            objective=estimate.objective,
            degrees_of_freedom=freedom,
            iterations=estimate.iterations,
            unobservable=seen.hidden_nodes[:MOST_NAMES],
            undetermined=seen.hidden_powers[:MOST_NAMES],
            suspects=suspects,
            equivalent=None if in_doubt else self._equivalent(view),
            reason=reason,
            omitted=len(self._model.nodes) - len(nodes),
        )

    def _blank(self, occasion: Occasion) -> GridState:
        return GridState(
            area=self._area.id,
            level=str(self._area.level),
            time_ns=occasion.time_ns,
            model_revision=self._model.revision,
            topology_revision=self._model.topology_revision,
            nodes=(),
            missing=tuple(occasion.missing[:MOST_NAMES]),
            interval=occasion.interval,
            counts=dict(occasion.counts),
        )

    def _node(self, row: int, view: "_View") -> NodeState:
        p, q = self._drawn(row, view)
        blocked = row == self._head and self._blocked
        return NodeState(self._model.nodes.ids[row], view.voltage(row, to_earth=not blocked), p, q)

    def _drawn(self, row: int, view: "_View") -> tuple[dict[str, Value], dict[str, Value]]:
        """Give what loads and generators at a node draw by phase."""
        numbers = self._at_node.get(row, [])
        if not numbers:
            return {}, {}
        if len(numbers) > 1 or self._delta[numbers[0]]:  # what is common to them counts
            return view.powers(view.estimate.flow(self._model.nodes.ids[row]), 1.0)
        return view.load(numbers[0])

    def _equivalent(self, view: "_View") -> NodeState | None:
        if not self._sources:
            return None
        voltage = view.voltage(self._head, to_earth=not self._blocked)
        if self._blocked:
            voltage = {name: value for name, value in voltage.items() if len(name) == 2}
        flow = view.estimate.flow(self._sources[0])
        p, q = view.powers(flow, -1.0)
        if self._blocked:
            p[ALL], q[ALL] = view.totals(flow, -1.0)
        return NodeState(self._area.head, voltage, p, q) if voltage else None


class _View:
    """An estimate as rows for records."""

    def __init__(self, estimate: Estimate, pairs: Integers, widen: float) -> None:
        self.estimate, self._widen = estimate, widen
        self._voltages, self._u = estimate.phase_voltages, widen * estimate.u_magnitude
        self._u_angle, self.observable = widen * estimate.u_angle, estimate.observable[:, :3]
        self._between: dict[int, tuple[Complexes, Floats, Floats]] = {}
        if len(pairs):
            rows = zip(*estimate.line_voltages(pairs), strict=True)
            self._between = dict(zip(pairs.tolist(), rows, strict=True))

    def voltage(self, row: int, *, to_earth: bool) -> dict[str, Phasor]:
        told: dict[str, Phasor] = {}
        observable, energised = self.observable[row], self.estimate.energised[row]
        for column, phase in enumerate(PHASES):
            if to_earth and energised[column] and observable[column]:
                u = float(self._u[row, column]), float(self._u_angle[row, column])
                told[phase] = _phasor(complex(self._voltages[row, column]), *u)
        if row in self._between:
            across, u_across, u_turn = self._between[row]
            for column, pair in enumerate(PAIRS):
                ends = [column, (column + 1) % 3]
                if energised[ends].all() and observable[ends].all():
                    u = self._widen * float(u_across[column]), self._widen * float(u_turn[column])
                    told[pair] = _phasor(complex(across[column]), *u)
        return told

    def powers(self, flow: Flow, sign: float) -> tuple[dict[str, Value], dict[str, Value]]:
        return _values(flow.phases, sign * flow.p, self._widen * flow.u_p), _values(
            flow.phases, sign * flow.q, self._widen * flow.u_q
        )

    def totals(self, flow: Flow, sign: float) -> tuple[Value, Value]:
        """Give P and Q of all phases; what they have in common, such as an unknown zero sequence, is not in them."""
        u_p, u_q = flow.u_total
        p, q = (
            Value(sign * float(flow.p.sum()), self._widen * u_p),
            Value(sign * float(flow.q.sum()), self._widen * u_q),
        )
        return p, q

    def load(self, number: int) -> tuple[dict[str, Value], dict[str, Value]]:
        model, power, u = self.estimate.model, self.estimate.power[number], self._widen * self.estimate.u_power[number]
        loads = len(model.loads)
        connected = model.loads.connected[number] if number < loads else model.generators.connected[number - loads]
        at = np.flatnonzero(connected)
        phases = [PHASES[column] for column in at]
        return _values(phases, power.real[at], u.real[at]), _values(phases, power.imag[at], u.imag[at])


def _phasor(value: complex, u: float, u_angle: float) -> Phasor:
    return Phasor(abs(value), math.atan2(value.imag, value.real), u, u_angle)


def _branch(name: str, flow: Flow, widen: float) -> BranchState | None:
    if not flow.phases:
        return None
    current = {}
    for number, phase in enumerate(flow.phases):
        size, u = float(flow.current[number]), widen * float(flow.u_current[number])
        angle = float(flow.angle[number]) if size > 3.0 * u else None  # a current that may be none has no angle
        current[phase] = Phasor(size, angle, u, None if angle is None else u / size)
    powers = _values(flow.phases, flow.p, widen * flow.u_p), _values(flow.phases, flow.q, widen * flow.u_q)
    return BranchState(name, current, *powers)


def _values(phases: Sequence[str], values: Floats, uncertainties: Floats) -> dict[str, Value]:
    rows = zip(phases, values.tolist(), uncertainties.tolist(), strict=True)
    return {phase: Value(value, uncertainty) for phase, value, uncertainty in rows}


def _is_blocked(model: NetworkModel, node: int) -> bool:
    """Tell whether all that hangs on a node are windings without a path for zero sequence."""
    at_branch = ((model.branches.from_node == node) | (model.branches.to_node == node)).any()
    switches = model.switches
    at_switch = (((switches.from_node == node) | (switches.to_node == node)) & switches.closed).any()
    ends = [
        bool(model.transformers.grounded[row, end])
        for end, at in enumerate((model.transformers.from_node, model.transformers.to_node))
        for row in np.flatnonzero(at == node)
    ]
    return bool(ends) and not (at_branch or at_switch or any(ends))
