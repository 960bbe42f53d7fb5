"""
What a reconfigurator keeps over a restart, and how much of it a model that has changed meanwhile can still use. Pure.

Where it stands: `reconfiguration` writes it at every checkpoint and reads it at its start. A fault for which the model
has no place any more is told to a person, and forgotten.
"""

import msgspec
import numpy as np

from algorithms.api.errors import CheckpointError
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Truths
from algorithms.api.records import Event, Severity
from algorithms.builtin.switching.exchange_pairs import ExchangeMemory
from algorithms.builtin.switching.fault_case import FaultCase


class ReconfigurationMemory(msgspec.Struct, frozen=True, tag="reconfiguration"):
    """What outlives a restart; later versions may add fields and must go on writing these."""

    network: str
    cases: tuple[FaultCase, ...] = ()
    before: tuple[bool, ...] = ()
    kept_open: tuple[str, ...] = ()
    asked: int = 0
    changed_ns: int | None = None
    tokens: tuple[int, ...] = ()
    exchange: ExchangeMemory | None = None

    def faults(self, model: NetworkModel) -> tuple[list[FaultCase], list[Event]]:
        """Give the faults of this model, and for each that it has no place for any more how that is told."""
        known = [
            case
            for case in self.cases
            if set(case.branches) <= set(model.branches.ids) and set(case.nodes) <= set(model.nodes.ids)
        ]
        return known, [_forgotten(case, model) for case in self.cases if case not in known]

    def positions(self, model: NetworkModel) -> Truths | None:
        """Tell which switches were closed before the faults, shape (n_switches,); None where that does not fit."""
        before = np.array(self.before, dtype=bool)
        return before if len(before) == len(model.switches) else None

    def kept(self, model: NetworkModel) -> list[str]:
        """Name the switches that people opened since."""
        return [name for name in self.kept_open if name in model.switches.rows]


def read_memory(restored: bytes, network: str) -> ReconfigurationMemory:
    """
    Read a checkpoint.

    Raises
    ------
    CheckpointError
        When it is none, or one of another network.
    """
    try:
        memory = msgspec.msgpack.decode(restored, type=ReconfigurationMemory)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"expected the memory of a reconfigurator, found: {error}") from error
    if memory.network != network:
        raise CheckpointError(f"expected a memory of {network}, found one of {memory.network}")
    return memory


def _forgotten(case: FaultCase, model: NetworkModel) -> Event:
    """Tell of a fault that is not looked after any more, since the model has changed."""
    places = [name for name in case.branches if name not in model.branches.rows]
    places += [name for name in case.nodes if name not in model.nodes.rows]
    evidence = {
        "network": model.network,
        "cases": [case.id],
        "outcome": "forgotten",
        "reason": f"the network model does not have {', '.join(places)[:200]} any more: a person must see to it",
        "position": "as it stood; what is locked stays locked",
        "steps": [],
    }
    return Event("restoration", case.breaker, case.start_ns, case.start_ns, Severity.CRITICAL, (), evidence)
