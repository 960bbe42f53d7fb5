"""
From a network document to the model algorithms work on: `parse`.

Where it stands: the agent calls it with what the catalog sent, tests and importers with what they made. A document
with any problem is refused whole; a right one is turned into the tables of `NetworkModel`, line types multiplied by
lengths, sequence data made matrices, taps folded into ratios.
"""

import cmath
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from algorithms.api.errors import NetworkError, Problem, shortened
from algorithms.api.network import NetworkModel
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_equipment import (
    Branch,
    Connection,
    Generator,
    Grounding,
    GroundingKind,
    LineType,
    Load,
    Matrix,
    Node,
    SequenceImpedance,
    Source,
    Transformer,
)
from algorithms.api.network_operation import Switch, SwitchState
from algorithms.api.network_problems import problems_of_content
from algorithms.api.network_schema import read_form
from algorithms.api.network_tables import (
    CONDUCTORS,
    Branches,
    Complexes,
    Injections,
    Integers,
    Nodes,
    Sources,
    Switches,
    Transformers,
    Truths,
)

_columns = {Connection.WYE: ("A", "B", "C"), Connection.DELTA: ("AB", "BC", "CA")}


def parse(document: bytes | Mapping[str, Any] | NetworkDocument) -> NetworkModel:
    """
    Read a network document.

    Parameters
    ----------
    document : bytes, mapping or NetworkDocument
        JSON, what JSON was read to, or the document itself.

    Raises
    ------
    NetworkError
        With every problem found.
    """
    form = read_form(document)
    right = form.document
    problems = [*form.problems, *(problems_of_content(right, form.left_out) if right else ())]
    if problems or right is None:
        raise NetworkError(problems)
    rows = {node.id: row for row, node in enumerate(right.nodes)}
    return NetworkModel(
        network=right.network,
        name=right.name,
        revision=right.revision,
        topology_revision=0,
        frequency=right.frequency,
        nodes=_nodes(right.nodes),
        sources=_sources(right.sources, rows),
        branches=_branches(right.branches, {line_type.id: line_type for line_type in right.line_types}, rows),
        transformers=_transformers(right.transformers, rows),
        loads=_injections(right.loads, rows),
        generators=_injections(right.generators, rows),
        switches=_switches(right.switches, rows),
        protections=right.protections,
        terminals=right.terminals,
        areas=right.areas,
    )


def parse_states(document: bytes) -> SwitchStates:
    """
    Read a document of switch states.

    Raises
    ------
    NetworkError
        When it is none.
    """
    try:
        return msgspec.json.decode(document, type=SwitchStates)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
        raise NetworkError([Problem("topology", "switch states", shortened(str(error)))]) from error


def _ids(elements: Iterable[Any]) -> tuple[str, ...]:
    return tuple(element.id for element in elements)


def _at(rows: Mapping[str, int], nodes: Iterable[str]) -> Integers:
    return np.array([rows[node] for node in nodes], dtype=np.intp)


def _conductors(phases: Sequence[str]) -> Truths:
    return np.array([[letter in text for letter in CONDUCTORS] for text in phases], dtype=bool).reshape(-1, 4)


def _bounds(values: Iterable[float | None]) -> Any:
    return np.array([math.inf if value is None else value for value in values], dtype=float)


def _numbers(values: Iterable[float]) -> Any:
    return np.array(list(values), dtype=float)


def _grounding(grounding: Grounding | None) -> tuple[bool, complex]:
    if grounding is None or grounding.kind == GroundingKind.ISOLATED:
        return False, 0j
    return True, complex(grounding.r, grounding.x)


def _nodes(nodes: Sequence[Node]) -> Nodes:
    groundings = [_grounding(node.grounding) for node in nodes]
    return Nodes(
        ids=_ids(nodes),
        base_voltage=_numbers(node.base_voltage for node in nodes),
        conductors=_conductors([node.phases for node in nodes]),
        grounded=np.array([grounded for grounded, _ in groundings], dtype=bool),
        grounding_impedance=np.array([impedance for _, impedance in groundings], dtype=complex),
        customers=np.array([node.customers for node in nodes], dtype=np.intp),
    )


def _sources(sources: Sequence[Source], rows: Mapping[str, int]) -> Sources:
    return Sources(
        ids=_ids(sources),
        node=_at(rows, (source.node for source in sources)),
        voltage=np.array([cmath.rect(source.voltage, source.angle) for source in sources], dtype=complex),
        z1=np.array([complex(source.r1, source.x1) for source in sources], dtype=complex),
        z0=np.array([complex(source.r0 or 0.0, source.x0 or 0.0) for source in sources], dtype=complex),
        has_zero_sequence=np.array([source.r0 is not None for source in sources], dtype=bool),
        grounding=tuple(source.grounding for source in sources),
        voltage_uncertainty=_numbers(source.voltage_uncertainty for source in sources),
    )


def _branches(branches: Sequence[Branch], types: Mapping[str, LineType], rows: Mapping[str, int]) -> Branches:
    data: list[LineType | Branch] = [types[branch.line_type] if branch.line_type else branch for branch in branches]
    phases = [branch.phases or line.phases for branch, line in zip(branches, data, strict=True)]
    z = np.zeros((len(branches), 4, 4), dtype=complex)
    y = np.zeros_like(z)
    for row, (branch, line) in enumerate(zip(branches, data, strict=True)):
        length = branch.length if branch.line_type else 1.0
        places = np.ix_([row], *([[CONDUCTORS.index(letter) for letter in phases[row]]] * 2))
        series, shunt = matrices(line)
        z[places] = length * series
        y[places] = length * shunt

    def stated(field: str) -> list[float | None]:
        values = ((getattr(branch, field), getattr(line, field)) for branch, line in zip(branches, data, strict=True))
        return [of_line if own is None else own for own, of_line in values]

    return Branches(
        ids=_ids(branches),
        from_node=_at(rows, (branch.from_node for branch in branches)),
        to_node=_at(rows, (branch.to_node for branch in branches)),
        conductors=_conductors(phases),
        z=z,
        y=y,
        length=_numbers(branch.length for branch in branches),
        impedance_uncertainty=_numbers(value or 0.0 for value in stated("impedance_uncertainty")),
        shunt_uncertainty=_numbers(value or 0.0 for value in stated("shunt_uncertainty")),
        rating=_bounds(stated("rating")),
    )


def matrices(line: LineType | Branch) -> tuple[Complexes, Complexes]:
    """
    Give series impedance and shunt admittance of a line type or a branch, as stated there, shape (n, n).

    Sequence data become matrices of a transposed line: (z0 + 2 z1) / 3 on the diagonal, (z0 - z1) / 3 beside it.
    """
    if line.sequence is not None:
        return _from_sequence(line.sequence)
    r, x = (np.array(rows, dtype=float) for rows in (line.r, line.x))
    zero: Matrix = tuple((0.0,) * len(r) for _ in r)
    g, b = (np.array(rows or zero, dtype=float) for rows in (line.g, line.b))
    return r + 1j * x, g + 1j * b


def _from_sequence(data: SequenceImpedance) -> tuple[Complexes, Complexes]:
    pairs = (
        (complex(data.r1, data.x1), complex(data.r0, data.x0)),
        (complex(0.0, data.b1), complex(0.0, data.b0)),
    )
    series, shunt = ((zero - positive) / 3 * np.ones((3, 3)) + positive * np.eye(3) for positive, zero in pairs)
    return series, shunt


def _transformers(transformers: Sequence[Transformer], rows: Mapping[str, int]) -> Transformers:
    groundings = [
        (_grounding(transformer.from_grounding), _grounding(transformer.to_grounding)) for transformer in transformers
    ]
    zero = [(t.r if t.r0 is None else t.r0, t.x if t.x0 is None else t.x0) for t in transformers]
    magnetising = [0j if t.r0m is None or t.x0m is None else 1.0 / complex(t.r0m, t.x0m) for t in transformers]
    return Transformers(
        ids=_ids(transformers),
        from_node=_at(rows, (transformer.from_node for transformer in transformers)),
        to_node=_at(rows, (transformer.to_node for transformer in transformers)),
        conductors=_conductors([transformer.phases for transformer in transformers]),
        vector_group=tuple(transformer.vector_group for transformer in transformers),
        rated_power=_numbers(transformer.rated_power for transformer in transformers),
        rated_voltage=np.array([transformer.rated_voltage for transformer in transformers], dtype=float).reshape(-1, 2),
        ratio=_numbers(_ratio(transformer) for transformer in transformers),
        z=np.array([complex(transformer.r, transformer.x) for transformer in transformers], dtype=complex),
        z0=np.array([complex(r, x) for r, x in zero], dtype=complex),
        y=np.array([complex(transformer.g, transformer.b) for transformer in transformers], dtype=complex),
        y0=np.array(magnetising, dtype=complex),
        grounded=np.array([[end[0] for end in ends] for ends in groundings], dtype=bool).reshape(-1, 2),
        grounding_impedance=np.array([[end[1] for end in ends] for ends in groundings], dtype=complex).reshape(-1, 2),
        tap=tuple(transformer.tap for transformer in transformers),
        impedance_uncertainty=_numbers(transformer.impedance_uncertainty for transformer in transformers),
    )


def _ratio(transformer: Transformer) -> float:
    voltages = list(transformer.rated_voltage)
    tap = transformer.tap
    if tap is not None:
        voltages[tap.end] *= 1.0 + (tap.position - tap.neutral) * tap.step
    return voltages[0] / voltages[1]


def _injections(injections: Sequence[Load], rows: Mapping[str, int]) -> Injections:
    def table(field: str, otherwise: float) -> Any:
        return np.array(
            [
                [
                    getattr(one, field).get(column, otherwise if column in one.p else 0.0)
                    for column in _columns[one.connection]
                ]
                for one in injections
            ],
            dtype=float,
        ).reshape(-1, 3)

    return Injections(
        ids=_ids(injections),
        node=_at(rows, (one.node for one in injections)),
        connection=tuple(one.connection for one in injections),
        connected=np.array(
            [[column in one.p for column in _columns[one.connection]] for one in injections], dtype=bool
        ).reshape(-1, 3),
        p=table("p", 0.0),
        q=table("q", 0.0),
        u_p=table("u_p", math.inf),
        u_q=table("u_q", math.inf),
        exponents=np.array([(one.p_exponent, one.q_exponent) for one in injections], dtype=float).reshape(-1, 2),
        rated_power=_bounds(one.rated_power for one in injections),
        storage=np.array([isinstance(one, Generator) and one.storage for one in injections], dtype=bool),
        profile=tuple(one.profile for one in injections),
    )


def _switches(switches: Sequence[Switch], rows: Mapping[str, int]) -> Switches:
    normally_closed = np.array([switch.normal == SwitchState.CLOSED for switch in switches], dtype=bool)
    return Switches(
        ids=_ids(switches),
        from_node=_at(rows, (switch.from_node for switch in switches)),
        to_node=_at(rows, (switch.to_node for switch in switches)),
        conductors=_conductors([switch.phases for switch in switches]),
        kind=tuple(switch.kind for switch in switches),
        operation=tuple(switch.operation for switch in switches),
        normally_closed=normally_closed,
        closed=normally_closed,
        rating=_bounds(switch.rating for switch in switches),
        breaks=_numbers(switch.breaks for switch in switches),
        closes=_numbers(switch.closes for switch in switches),
        operating_time=_numbers(switch.operating_time for switch in switches),
    )
