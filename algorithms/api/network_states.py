"""
Switch states judged against the network they belong to, and carried over to its next revision.

Where it stands: the catalog asks before it keeps a document of states; an agent that needs to know where the switches
of its own area stand reads them here. `network_document` has the shape. Pure, and without numpy.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.network_connections import loops
from algorithms.api.network_document import MAXIMUM_REVISION, STATES_SCHEMA, NetworkDocument, SwitchStates
from algorithms.api.network_operation import SwitchState

_WORDS = tuple(state.value for state in SwitchState)


def normal_states(document: NetworkDocument) -> SwitchStates:
    """Give the states of a network whose switches all stand normally: revision 0."""
    return SwitchStates(document.network, 0, {switch.id: switch.normal for switch in document.switches})


def carried_over(states: SwitchStates, document: NetworkDocument) -> SwitchStates:
    """
    Give the states of another revision of the network: switches that stay keep theirs, new ones stand normally.

    The states' own revision grows where this changes them.
    """
    carried = {switch.id: states.states.get(switch.id, switch.normal) for switch in document.switches}
    if carried == states.states:
        return states
    return SwitchStates(document.network, states.revision + 1, carried)


def read_states(
    document: bytes | Mapping[str, Any] | SwitchStates, network: NetworkDocument, before: int | None = None
) -> tuple[SwitchStates | None, list[Problem]]:
    """
    Read switch states against the network they belong to.

    Parameters
    ----------
    document : bytes, mapping or SwitchStates
        JSON, what JSON was read to, or the document itself.
    network : NetworkDocument
    before : int or None
        The revision in force, which the document's must be above; None where that does not matter.

    Returns
    -------
    states : SwitchStates or None
        None where there are problems.
    problems : list of Problem
        Everything wrong.

    Examples
    --------
    >>> from algorithms.api.network_operation import Switch, SwitchKind
    >>> tie = Switch(id="tie", from_node="a", to_node="b", kind=SwitchKind.BREAKER)
    >>> network = NetworkDocument(network="n", revision=1, switches=(tie,))
    >>> states = {"schema": "topology/1", "network": "n", "revision": 3, "states": {"ties": "opened"}}
    >>> for problem in read_states(states, network, before=3)[1]:
    ...     print(problem)
    topology.revision: expected 4 or more, found 3; states of revision 3 are in force
    topology.states.ties: expected a switch of the network, found an unknown one; remove it
    topology.states.tie: expected open or closed, found nothing; state every switch of the network
    """
    fields, problems = _fields(document)
    if fields is None:
        return None, problems
    problems += _of_head(fields, network, before)
    states = fields.get("states")
    if not isinstance(states, Mapping):
        return None, [*problems, Problem("topology.states", "a table of switches", shortened(states))]
    switches = {switch.id for switch in network.switches}
    for name, state in states.items():
        where = f"topology.states.{shortened(str(name), 64)}"
        if name not in switches:
            problems.append(Problem(where, "a switch of the network", "an unknown one", "remove it"))
        elif state not in _WORDS:
            problems.append(Problem(where, " or ".join(_WORDS), shortened(state)))
    problems += [
        Problem(f"topology.states.{switch.id}", "open or closed", "nothing", "state every switch of the network")
        for switch in network.switches
        if switch.id not in states
    ]
    for where, edge, area in loops(network, lambda switch: states.get(switch.id) == SwitchState.CLOSED):
        expected, remedy = f"no loop in the radial area {area.id}", "open a switch of the loop"
        here = f"topology.states.{edge.id}" if edge.id in switches else where
        problems.append(Problem(here, expected, "it closes one", remedy))
    return (None if problems else msgspec.convert(fields, SwitchStates)), problems


def _fields(document: bytes | Mapping[str, Any] | SwitchStates) -> tuple[Mapping[str, Any] | None, list[Problem]]:
    if isinstance(document, SwitchStates):
        document = msgspec.to_builtins(document)
    elif isinstance(document, bytes):
        try:
            document = msgspec.json.decode(document)
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
            return None, [Problem("topology", "JSON", shortened(str(error), 200))]
    if not isinstance(document, Mapping):
        return None, [Problem("topology", "a JSON object", shortened(document))]
    return document, []


def _of_head(fields: Mapping[str, Any], network: NetworkDocument, before: int | None) -> list[Problem]:
    problems = []
    known = ("schema", "network", "revision", "states")
    problems += [
        Problem(f"topology.{shortened(str(name), 40)}", ", ".join(known), "an unknown field", "remove it")
        for name in fields
        if name not in known
    ]
    schema, name, revision = (fields.get(field) for field in known[:3])
    if schema != STATES_SCHEMA:
        problems.append(Problem("topology.schema", STATES_SCHEMA, shortened(schema)))
    if name != network.network:
        remedy = "send the states of this network"
        problems.append(Problem("topology.network", network.network, shortened(name), remedy))
    if not isinstance(revision, int) or isinstance(revision, bool) or not 0 < revision <= MAXIMUM_REVISION:
        problems.append(
            Problem("topology.revision", f"a whole number from 1 to {MAXIMUM_REVISION}", shortened(revision))
        )
    elif before is not None and revision <= before:
        remedy = f"states of revision {before} are in force"
        problems.append(Problem("topology.revision", f"{before + 1} or more", str(revision), remedy))
    return problems
