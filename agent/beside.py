"""
Algorithms that stand beside those in force, and what they are fed: the same records.

Where it stands: part of `running`, which has one; `agent.updates` says who stands here: a version on probation, the one
that it replaces, a shadow. What they make is their owners' business; nothing of it is routed from here.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from agent.pipeline import Pipeline
from agent.supervised_algorithm import SupervisedAlgorithm
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Record
from device_catalog.contract.documents import Assignment


class Beside:
    """Those that stand beside others; true where there are any, iterable over all."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[SupervisedAlgorithm]] = {}
        self._pipeline = Pipeline("", "", {}, {})

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def __iter__(self) -> Iterator[SupervisedAlgorithm]:
        return iter([one for beside in self._by_name.values() for one in beside])

    def add(self, one: SupervisedAlgorithm) -> None:
        """Feed an algorithm from now on."""
        self._by_name.setdefault(one.name, []).append(one)

    def remove(self, one: SupervisedAlgorithm) -> None:
        """Feed an algorithm no more; nothing happens where it does not stand here."""
        beside = self._by_name.get(one.name, [])
        if one in beside:
            beside.remove(one)
        if not beside:
            self._by_name.pop(one.name, None)

    def reroute(self, device: str, infos: Mapping[str, AlgorithmInfo], assignments: Mapping[str, Assignment]) -> None:
        """Note what runs; one of which nothing is known yet gets what the one in force gets."""
        known = dict(infos)
        for name, beside in self._by_name.items():
            own = [one.info for one in beside if one.info is not None]
            if own:
                consumes = dict.fromkeys(kind for info in own for kind in info.consumes)
                known[name] = msgspec.structs.replace(own[0], consumes=tuple(consumes))
        wanted = {name: assignments.get(name, Assignment(name)) for name in {*assignments, *known}}
        self._pipeline = Pipeline("", device, known, wanted)

    def hear(self, sender: str, record: Record) -> None:
        """Feed a neighbour's record to those that consume such."""
        if self._by_name:
            self._feed(self._pipeline.consumers_of_neighbour(sender, record), record)

    def take(self, maker: str, record: Record) -> None:
        """Feed a record of another algorithm to those that consume such."""
        if self._by_name:
            self._feed(self._pipeline.consumers(maker, record), record)

    def is_heard_by(self, one: SupervisedAlgorithm, sender: str, record: Record) -> bool:
        """Tell whether an algorithm that stands here gets a neighbour's record."""
        return one.name in self._pipeline.consumers_of_neighbour(sender, record)

    def _feed(self, names: Iterable[str], record: Record) -> None:
        for name in names:
            for one in self._by_name.get(name, ()):
                one.feed(record)
