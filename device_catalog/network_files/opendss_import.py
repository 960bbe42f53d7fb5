"""
An OpenDSS circuit as a network document.

Where it stands: ``tresma network import`` calls `read_file`; `opendss_engine` runs and solves the master file,
`opendss_lines`, `opendss_transformers` and `opendss_injections` turn its elements.

Rules:

- Nodes 1 to 4 of a bus are A, B, C and the neutral; a bus is a node of the phases that it has.
- A line that OpenDSS calls a switch is a switch. What protects a line that is none (fuse, recloser, relay), or opens
  it, gets a switch of its own, with a node between the two.
- Taps, switched capacitors and the powers of generators stand where OpenDSS's controls left them.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, Grounding, GroundingKind, Node, Source, Transformer
from algorithms.api.network_operation import Protection, Switch, SwitchKind, SwitchState, Terminal
from device_catalog.network_files.imported import Ids, Imported, Remarks
from device_catalog.network_files.opendss_engine import Element, Engine
from device_catalog.network_files.opendss_injections import Injections
from device_catalog.network_files.opendss_lines import LETTERS, Conductors, Lines, as_rows, series_impedance
from device_catalog.network_files.opendss_switches import PROTECTING, base_voltages, guards, protection, switch
from device_catalog.network_files.opendss_transformers import transformer
from device_catalog.network_files.reach import Edge, without_dark

NEGLIGIBLE = 1e-4
"""Of a closed switch [ohm]."""

_feeding = ("generator", "pvsystem", "storage")
_measuring = ("energymeter", "monitor", "sensor")
_of_no_concern = {
    "regcontrol": "taps stand where it left them; the transformer is said to regulate",
    "capcontrol": "capacitors stand where it left them",
    "swtcontrol": "switches stand where it left them",
}


def read_file(file: Path) -> Imported:
    """
    Run and read a master file.

    Raises
    ------
    NetworkFileError
        When dss-python is missing, or OpenDSS refuses the file or finds no solution.
    """
    engine = Engine(file)
    reader = _Reader(engine)
    reader.read()
    document = without_dark(reader.document(), reader.remarks)
    kept = {node.id for node in document.nodes}
    voltages = {
        reader.of_bus[bus]: {LETTERS[node]: value for node, value in values.items() if node in LETTERS}
        for bus, values in engine.voltages()
        if reader.of_bus.get(bus) in kept
    }
    return Imported(document, engine.origin, reader.remarks.found(), voltages)


class _Reader:
    """One circuit, read kind by kind."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ids, self.remarks = Ids(), Remarks()
        self.lines = Lines(engine.frequency, self.ids, self.remarks)
        self.nodes: dict[str, Node] = {}
        self.of_bus: dict[str, str] = {}
        self.base: dict[str, float] = {}
        self.sources: list[Source] = []
        self.branches: list[Branch] = []
        self.transformers: list[Transformer] = []
        self.switches: list[Switch] = []
        self.protections: list[Protection] = []
        self.terminals: list[Terminal] = []
        self.elements: defaultdict[str, list[Element]] = defaultdict(list)
        self.equipment: dict[str, str] = {}

    def read(self) -> None:
        for element in self.engine.elements():
            if element.enabled:
                self.elements[element.kind].append(element)
            else:
                self.remarks.left_out(element.kind, "not enabled", [element.name])
        self._buses()
        self.injections = Injections(self.base, self.of_bus, self.engine.load_multiplier, self.ids, self.remarks)
        for element in self.elements.pop("vsource", []):
            self._source(element)
        self._series()
        self._parallel()
        for kind in _measuring:
            for element in self.elements.pop(kind, []):
                self._terminal(element)
        self._stars()
        for kind, elements in self.elements.items():
            if elements:
                why = _of_no_concern.get(kind, "the document has no such equipment")
                self.remarks.left_out(kind, why, [element.name for element in elements])

    def _series(self) -> None:
        """Read what leads from bus to bus."""
        protecting = guards(self.elements, self.remarks)
        for element in self.elements.pop("line", []):
            self._attempt(element, lambda one: self._line(one, protecting.get(one.name)))
        regulated = {
            element.text("transformer").lower(): round(element.number("winding"))
            for element in self.elements["regcontrol"]
        }
        for element in self.elements.pop("transformer", []):
            self._attempt(element, lambda one: self._transformer(one, regulated.get(one.name)))

    def _parallel(self) -> None:
        """Read what hangs on one bus."""
        for kind in ("load", "capacitor", "reactor", *_feeding):
            read = self.injections.load if kind == "load" else self.injections.generator
            for element in self.elements.pop(kind, []):
                self._attempt(element, self._shunt if kind in ("capacitor", "reactor") else read)

    def document(self) -> NetworkDocument:
        network = Ids().take(self.engine.name, "net", "net")
        customers = self.injections.customers
        return NetworkDocument(
            network=network,
            name=self.engine.name if self.engine.name != network else "",
            revision=1,
            frequency=self.engine.frequency,
            nodes=tuple(replace(node, customers=customers.get(node.id, 0)) for node in self.nodes.values()),
            sources=tuple(self.sources),
            line_types=tuple(self.lines.types),
            branches=tuple(self.branches),
            transformers=tuple(self.transformers),
            loads=tuple(self.injections.loads),
            generators=tuple(self.injections.generators),
            switches=tuple(self.switches),
            protections=tuple(self.protections),
            terminals=tuple(self.terminals),
        )

    def _attempt(self, element: Element, read: Callable[[Element], None]) -> None:
        """Read an element, or say why it is left out."""
        try:
            read(element)
        except ValueError as error:
            self.remarks.left_out(element.kind, str(error), [element.name])

    def _buses(self) -> None:
        self.base = base_voltages(self.engine, self.elements, self.remarks)
        strange, placed = [], False
        for bus, _, numbers, place in self.engine.buses():
            phases = "".join(LETTERS[node] for node in sorted(numbers) if node in LETTERS)
            strange += [f"{bus}.{node}" for node in numbers if node not in LETTERS]
            if not phases.strip("N"):
                self.remarks.left_out("bus", "it has no phase", [bus])
                continue
            name = self.ids.take(bus, "bus")
            self.of_bus[bus] = name
            self.nodes[name] = Node(
                id=name,
                name=bus if bus != name else "",
                phases=phases,
                base_voltage=self.base[bus],
                position=place,
            )
            placed = placed or place is not None
        if strange:
            self.remarks.left_out("conductor", "nodes of buses above 4 are no phases of the document", strange)
        if placed:
            self.remarks.assumed("positions", "OpenDSS states no unit: taken as metres, good for drawing only")

    def _source(self, element: Element) -> None:
        bus = element.buses[0]
        if element.phases != 3 or element.nodes[0][:3] != (1, 2, 3):
            why = f"{element.phases} phases; the document has sources of three"
            self.remarks.left_out("vsource", why, [element.name])
            return
        if any(node != 0 for node in element.nodes[1]):
            self.remarks.changed("vsource", "it stands against earth here, not between two buses", [element.name])
        name = self.ids.take(element.name, "source")
        r1, x1, r0, x0 = (element.number(field) for field in ("r1", "x1", "r0", "x0"))
        self.sources.append(
            Source(
                id=name,
                node=self.of_bus[bus],
                voltage=element.number("basekv") * element.number("pu") * 1e3 / math.sqrt(3),
                angle=math.radians(element.number("angle")),
                r1=r1,
                x1=x1,
                r0=r0,
                x0=x0,
                grounding=GroundingKind.SOLID,
            )
        )

    def _line(self, element: Element, protected: tuple[Element, int] | None) -> None:
        conductors = Conductors(element.nodes)
        ends = [self.of_bus[bus] for bus in element.buses]
        for end, grounded in zip(ends, conductors.grounded, strict=True):
            if grounded:
                self._ground(end)
        kind = PROTECTING[protected[0].kind] if protected else SwitchKind.LOAD_BREAK_SWITCH
        state = SwitchState.OPEN if any(element.opened) else SwitchState.CLOSED
        if element.flag("switch"):
            name = self._switch(element, (ends[0], ends[1]), conductors.phases, kind, state)
            if abs(series_impedance(element, conductors)).max() > NEGLIGIBLE:
                self.remarks.left_out("impedance of switches", "the document's have none", [element.name])
            if not protected:
                self.remarks.assumed("kind of switches", f"not in the file: {kind}", [element.name])
        else:
            name = ""
            if protected or state == SwitchState.OPEN:
                at = element.opened.index(True) if state == SwitchState.OPEN else (protected or (element, 1))[1] - 1
                name, ends[at] = self._switch_at(element, ends[at], conductors.phases, kind, state)
            called = self.ids.take(element.name, "line")
            self.branches.append(self.lines.branch(element, called, (ends[0], ends[1]), conductors))
            self.equipment[element.full_name.lower()] = called
        if protected:
            self._protection(protected[0], name)

    def _ground(self, node: str) -> None:
        """Ground the neutral of a node solidly."""
        found = self.nodes[node]
        phases = found.phases if "N" in found.phases else f"{found.phases}N"
        self.nodes[node] = replace(found, phases=phases, grounding=Grounding(kind=GroundingKind.SOLID))

    def _switch(
        self, element: Element, ends: tuple[str, str], phases: str, kind: SwitchKind, state: SwitchState
    ) -> str:
        found = switch(self.ids.take(element.name, "switch"), element, ends, phases, kind=kind, state=state)
        self.switches.append(found)
        self.equipment.setdefault(element.full_name.lower(), found.id)
        return found.id

    def _switch_at(
        self, element: Element, end: str, phases: str, kind: SwitchKind, state: SwitchState
    ) -> tuple[str, str]:
        """Put a switch and a node between a node and a line; give both."""
        bus, between = self.nodes[end], self.ids.take(f"{element.name}-at-{end}", "node")
        self.nodes[between] = Node(
            id=between,
            name=f"{element.name} ({end})",
            phases=phases,
            base_voltage=bus.base_voltage,
            position=bus.position,
        )
        name = self.ids.take(f"{element.name}-switch", "switch")
        self.switches.append(switch(name, element, (end, between), phases, kind=kind, state=state))
        return name, between

    def _protection(self, element: Element, switch_id: str) -> None:
        found = protection(element, switch_id, self.ids, self.remarks)
        if found is not None:
            self.protections.append(found)

    def _transformer(self, element: Element, regulated: int | None) -> None:
        name = self.ids.take(element.name, "transformer")
        found = transformer(element, name, self.of_bus, regulated=regulated, remarks=self.remarks)
        self.transformers.append(found)
        self.equipment[element.full_name.lower()] = name

    def _shunt(self, element: Element) -> None:
        """Read a capacitor or reactor: to earth, between a neutral and earth, or in line."""
        other = element.nodes[1] if len(element.nodes) > 1 else ()
        if element.kind == "reactor" and element.nodes[0][:1] == (4,) and set(other) <= {0}:
            r, x = element.number("r"), element.number("x")
            node = self.of_bus[element.buses[0]]
            kind = GroundingKind.RESISTANCE if r >= abs(x) else GroundingKind.REACTANCE
            self.nodes[node] = replace(self.nodes[node], grounding=Grounding(kind=kind, r=r, x=x))
            return
        if any(other) and element.buses[1] != element.buses[0]:
            if element.kind == "capacitor":
                raise ValueError("in line; the document has capacitors to earth or between phases")
            self._in_line(element)
        elif element.kind == "capacitor":
            self.injections.capacitor(element)
        else:
            self.injections.reactor(element)

    def _in_line(self, element: Element) -> None:
        conductors = Conductors(element.nodes[:2])
        impedance = series_impedance(element, conductors)
        length = max(1.0, math.ceil(float(abs(impedance).max()) / 0.01))
        self.remarks.changed("reactor in line", "a line of such a length that its impedance can be", [element.name])
        self.branches.append(
            Branch(
                id=self.ids.take(element.name, "reactor"),
                from_node=self.of_bus[element.buses[0]],
                to_node=self.of_bus[element.buses[1]],
                length=length,
                phases=conductors.phases,
                r=as_rows(impedance.real),
                x=as_rows(impedance.imag),
            )
        )

    def _terminal(self, element: Element) -> None:
        """Take a meter, monitor or sensor for a place where something is measured."""
        measured, terminal = element.text("element").lower(), round(element.number("terminal") or 1)
        equipment = self.equipment.get(measured)
        if equipment is None:
            self.remarks.left_out(element.kind, f"what it measures ({measured}) is not in the document", [element.name])
            return
        edges: list[Edge] = [*self.branches, *self.transformers, *self.switches]
        edge = next(one for one in edges if one.id == equipment)
        node = edge.from_node if terminal == 1 else edge.to_node
        phases = "".join(letter for letter in self.nodes[node].phases if letter != "N")
        name = self.ids.take(element.name, "terminal")
        self.terminals.append(Terminal(id=name, node=node, equipment=equipment, phases=phases))

    def _stars(self) -> None:
        """Say where loads return through earth although their node has a neutral that is not at earth."""
        apart = []
        for bus, neutral in self.injections.star_points:
            node = self.nodes[self.of_bus[bus]]
            at_earth = node.grounding is not None and node.grounding.kind == GroundingKind.SOLID
            if neutral == 0 and "N" in node.phases and not at_earth:
                apart.append(bus)
        if apart:
            why = "OpenDSS connects them to earth; here they go to the neutral of their node"
            self.remarks.changed("loads at nodes with a neutral", why, list(dict.fromkeys(apart)))
