"""
A pandapower net as a network document: from a saved ``.json`` file, or one of the nets that come with pandapower.

Where it stands: ``tresma network import`` calls `read_file` or `read_example`; `pandapower_lines`,
`pandapower_injections` and `pandapower_solution` read their tables.

Rules:

- A bus is a node of phases ABC without a neutral: pandapower's lines return through earth.
- A switch at a line or transformer gets a node of its own between the two.
- Coordinates in degrees (GeoJSON) become metres east and north of their middle.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, Node, SequenceImpedance, Transformer
from algorithms.api.network_operation import Switch, SwitchKind, SwitchState, Terminal
from device_catalog.network_files.earth import between_phases
from device_catalog.network_files.errors import NetworkFileError
from device_catalog.network_files.frames import Row, master_id, name_of, number, rows, text, volts
from device_catalog.network_files.imported import Ids, Imported, Remarks
from device_catalog.network_files.pandapower_injections import InjectionReader
from device_catalog.network_files.pandapower_lines import Lines, transformer
from device_catalog.network_files.pandapower_positions import positions
from device_catalog.network_files.pandapower_solution import OF_OLD_NETS, solve, sources, voltages
from device_catalog.network_files.reach import without_dark

_kinds = {
    "CB": SwitchKind.BREAKER,
    "LBS": SwitchKind.LOAD_BREAK_SWITCH,
    "LS": SwitchKind.LOAD_BREAK_SWITCH,
    "DS": SwitchKind.DISCONNECTOR,
}
_left_out = {
    "trafo3w": "the document has transformers of two windings",
    "dcline": "the document has alternating current only",
    "line_dc": "the document has alternating current only",
    "svc": "the document has no controlled compensation",
    "tcsc": "the document has no controlled compensation",
    "ssc": "the document has no controlled compensation",
    "vsc": "the document has alternating current only",
    "poly_cost": "costs are no part of the document",
    "pwl_cost": "costs are no part of the document",
    "controller": "the document states taps and powers, not what moves them",
}


def read_file(path: Path) -> Imported:
    """
    Read a net that pandapower saved.

    Raises
    ------
    NetworkFileError
        When pandapower is missing, or the file is none of its own.
    """
    pandapower = _pandapower()
    try:
        with _quiet():
            net = pandapower.from_json(str(path))
    except Exception as error:  # its reader raises whatever the file makes it raise
        raise NetworkFileError(f"{path}: expected a net that pandapower saved, found: {error}") from error
    if not isinstance(net, pandapower.pandapowerNet):
        raise NetworkFileError(f"{path}: expected a net that pandapower saved, found {type(net).__name__}")
    return take_over(net, path.name, path.stem)


def read_example(name: str, arguments: Mapping[str, Any] | None = None) -> Imported:
    """
    Take one of the nets that come with pandapower.

    Parameters
    ----------
    name : str
        Of a function of ``pandapower.networks``, with or without ``create_``.
    arguments : mapping
        Of that function.

    Raises
    ------
    NetworkFileError
        When pandapower is missing, or knows no such net.
    """
    _pandapower()
    from pandapower import networks  # noqa: PLC0415 - optional

    function = getattr(networks, name, None) or getattr(networks, f"create_{name}", None)
    if not callable(function):
        near = [one for one in dir(networks) if name.lower()[:5] in one.lower() and callable(getattr(networks, one))]
        hint = f"; near it are {', '.join(near[:6])}" if near else ", such as create_cigre_network_mv"
        raise NetworkFileError(f"expected the name of a net of pandapower.networks, found {name}{hint}")
    try:
        with _quiet():
            net = function(**arguments or {})
    except Exception as error:  # it raises whatever its arguments make it raise
        raise NetworkFileError(f"expected the arguments of {name}, found: {error!r}") from error
    return take_over(net, f"pandapower.networks.{name}", name.removeprefix("create_"))


def read_european_lv() -> Imported:
    """
    Take the European low-voltage test feeder from pandapower.

    Raises
    ------
    NetworkFileError
        When pandapower is missing.

    References
    ----------
    IEEE PES Test Feeder Working Group, *The IEEE European Low Voltage Test Feeder*, 2015,
    https://cmte.ieee.org/pes-testfeeders/resources/
    """
    imported = read_example("ieee_european_lv_asymmetric")
    document = replace(imported.document, network="european-lv", name="European low-voltage test feeder")
    source = "IEEE PES Test Feeder Working Group, European Low Voltage Test Feeder (2015), by way of "
    return Imported(document, source + imported.origin, imported.remarks, imported.voltages)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what pandapower says to its developers and of a compiler it could use."""
    logger = logging.getLogger("pandapower")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in OF_OLD_NETS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)


def _pandapower() -> Any:
    try:
        import pandapower  # noqa: PLC0415 - optional
    except ImportError as error:
        raise NetworkFileError(
            f"expected pandapower, which reads its own nets, found: {error}; pip install 'tresma[import]'"
        ) from error
    return pandapower


def take_over(net: Any, source: str, name: str) -> Imported:
    """
    Turn a net into a document.

    Parameters
    ----------
    net : pandapowerNet
    source : str
        Where it comes from, for people.
    name : str
        What to call the network where the net has no name.
    """
    reader = _Reader(net)
    reader.read()
    document = reader.document(text(dict(net), "name") or name)
    document = between_phases(without_dark(document, reader.remarks), reader.remarks)
    version = metadata.version("pandapower")
    found = {node: values for node, values in reader.voltages.items() if node in {one.id for one in document.nodes}}
    return Imported(document, f"pandapower {version}, {source}", reader.remarks.found(), found)


class _Reader:
    """One net, read table by table."""

    def __init__(self, net: Any) -> None:
        self.net = net
        self.ids, self.remarks = Ids(), Remarks()
        self.frequency = float(net.f_hz)
        self.lines = Lines(self.frequency, self.ids, self.remarks)
        self.nodes: dict[str, Node] = {}
        self.of_bus: dict[Any, str] = {}
        self.branches: list[Branch] = []
        self.transformers: list[Transformer] = []
        self.switches: list[Switch] = []
        self.terminals: list[Terminal] = []
        self.voltages: dict[str, dict[str, complex]] = {}
        self.equipment: dict[tuple[str, Any], str] = {}

    def read(self) -> None:
        method = solve(self.net, self.remarks)
        self._buses()
        self.injections = InjectionReader(self.net, self.of_bus, self.ids, self.remarks, solved=bool(method))
        self.sources = sources(self.net, self.of_bus, self.ids, self.remarks, method)
        at_line, at_transformer = self._switches()
        self._lines(at_line)
        self._transformers(at_transformer)
        self._impedances()
        self.injections.read()
        self._measurements()
        self.voltages = voltages(self.net, self.of_bus, method)
        for table, why in _left_out.items():
            names = [name_of(row, table) for row in rows(self.net, table)]
            if names:
                self.remarks.left_out(table, why, names)

    def document(self, name: str) -> NetworkDocument:
        network = Ids().take(name, "net", "net")
        customers: dict[str, int] = {}
        for load in self.injections.loads:
            if self.nodes[load.node].base_voltage <= 1000.0 and load.p_exponent == 0:
                customers[load.node] = customers.get(load.node, 0) + 1
        if customers:
            self.remarks.assumed("customers", "each load at low voltage is taken for one")
        return NetworkDocument(
            network=network,
            name=name if name != network else "",
            revision=1,
            frequency=self.frequency,
            nodes=tuple(replace(node, customers=customers.get(node.id, 0)) for node in self.nodes.values()),
            sources=tuple(self.sources),
            line_types=tuple(self.lines.types),
            branches=tuple(self.branches),
            transformers=tuple(self.transformers),
            loads=tuple(self.injections.loads),
            generators=tuple(self.injections.generators),
            switches=tuple(self.switches),
            terminals=tuple(self.terminals),
        )

    def _buses(self) -> None:
        off, places = [], positions(self.net, self.remarks)
        for row in rows(self.net, "bus"):
            if not row.get("in_service", True):
                off.append(name_of(row, "bus"))
                continue
            name = self.ids.take(master_id(row), "bus", f"bus-{row['index']}")
            self.of_bus[row["index"]] = name
            called = text(row, "name")
            self.nodes[name] = Node(
                id=name,
                name=called if called != name else "",
                phases="ABC",
                base_voltage=volts(row, "vn_kv"),
                position=places.get(row["index"]),
            )
        if off:
            self.remarks.left_out("bus", "out of service", off)

    def _switches(self) -> tuple[dict[tuple[Any, Any], str], dict[tuple[Any, Any], str]]:
        """Read switches; give the nodes behind those at lines and transformers, by element and bus."""
        behind: dict[str, dict[tuple[Any, Any], str]] = {"l": {}, "t": {}}
        tables = {"l": "line", "t": "trafo"}
        for row in rows(self.net, "switch"):
            kind, element, bus = text(row, "et"), row["element"], row["bus"]
            if kind == "b":
                other = self.of_bus.get(element)
            elif kind in tables and self._in_service(tables[kind], element):
                other = behind[kind].get((element, bus)) or self._between(tables[kind], row)
                if other:
                    behind[kind][element, bus] = other
            else:
                other = None
            if other is None or bus not in self.of_bus:
                self.remarks.left_out(
                    "switch", "what it switches is out of service, or not in the document", [name_of(row, "switch")]
                )
                continue
            self._switch(row, self.of_bus[bus], other)
        return behind["l"], behind["t"]

    def _between(self, table: str, row: Row) -> str | None:
        """Make the node between a switch and its line or transformer."""
        if row["bus"] not in self.of_bus:
            return None
        bus = self.nodes[self.of_bus[row["bus"]]]
        called = text(dict(self.net[table].loc[row["element"]]), "name") or f"{table}-{row['element']}"
        name = self.ids.take(f"{called}-at-{bus.id}", "node")
        said = f"{called} ({bus.name or bus.id})"
        self.nodes[name] = Node(id=name, name=said, phases="ABC", base_voltage=bus.base_voltage, position=bus.position)
        return name

    def _switch(self, row: Row, bus: str, other: str) -> None:
        kind = _kinds.get(text(row, "type"))
        if kind is None:
            kind = SwitchKind.LOAD_BREAK_SWITCH
            self.remarks.assumed("kind of switches", f"not in the file: {kind}", [name_of(row, "switch")])
        if number(row, "z_ohm"):
            self.remarks.left_out("impedance of switches", "the document's have none", [name_of(row, "switch")])
        rating = number(row, "in_ka") * 1e3 or None
        breaks = (rating or 0.0) if kind in (SwitchKind.BREAKER, SwitchKind.LOAD_BREAK_SWITCH) else 0.0
        called = text(row, "name")
        name = self.ids.take(called, "switch", f"switch-{row['index']}")
        self.switches.append(
            Switch(
                id=name,
                name=called if called != name else "",
                from_node=bus,
                to_node=other,
                kind=kind,
                normal=SwitchState.CLOSED if row.get("closed", True) else SwitchState.OPEN,
                rating=rating,
                breaks=breaks,
                closes=breaks,
            )
        )

    def _in_service(self, table: str, index: Any) -> bool:
        frame = self.net[table]
        return index in frame.index and bool(frame.in_service.at[index])

    def _pieces(self, table: str, ends: tuple[str, str]) -> list[Row]:
        """Give rows that are in service between buses that are."""
        found = list(rows(self.net, table))
        off = [row for row in found if not row.get("in_service", True)]
        there = [row for row in found if row.get("in_service", True)]
        loose = [row for row in there if any(row[end] not in self.of_bus for end in ends)]
        for what, why in ((off, "out of service"), (loose, "a bus of it is out of service")):
            if what:
                self.remarks.left_out(table, why, [name_of(row, table) for row in what])
        return [row for row in there if row not in loose]

    def _lines(self, behind: Mapping[tuple[Any, Any], str]) -> None:
        for row in self._pieces("line", ("from_bus", "to_bus")):
            one, other = (
                behind.get((row["index"], row[end])) or self.of_bus[row[end]] for end in ("from_bus", "to_bus")
            )
            name = self.ids.take(master_id(row), "line", f"line-{row['index']}")
            branch = self.lines.branch(row, name, (one, other))
            if branch:
                self.branches.append(branch)
                self.equipment["line", row["index"]] = name

    def _transformers(self, behind: Mapping[tuple[Any, Any], str]) -> None:
        for row in self._pieces("trafo", ("hv_bus", "lv_bus")):
            one, other = (behind.get((row["index"], row[end])) or self.of_bus[row[end]] for end in ("hv_bus", "lv_bus"))
            name = self.ids.take(master_id(row), "transformer", f"transformer-{row['index']}")
            self.transformers.append(transformer(row, name, (one, other), self.remarks))
            self.equipment["trafo", row["index"]] = name

    def _impedances(self) -> None:
        for row in self._pieces("impedance", ("from_bus", "to_bus")):
            one, other = self.of_bus[row["from_bus"]], self.of_bus[row["to_bus"]]
            base = self.nodes[one].base_voltage ** 2 / (number(row, "sn_mva", 1.0) * 1e6)
            z1 = complex(number(row, "rft_pu"), number(row, "xft_pu")) * base
            z0 = complex(number(row, "rft0_pu"), number(row, "xft0_pu")) * base or z1
            length = max(1.0, math.ceil(abs(z1) / 0.01))
            name = self.ids.take(master_id(row), "impedance", f"impedance-{row['index']}")
            why = "a line of such a length that its impedance can be"
            self.remarks.changed("impedance", why, [name_of(row, "impedance")])
            sequence = SequenceImpedance(r1=z1.real, x1=z1.imag, r0=z0.real, x0=z0.imag)
            self.branches.append(
                Branch(id=name, from_node=one, to_node=other, length=length, phases="ABC", sequence=sequence)
            )

    def _measurements(self) -> None:
        """Make one terminal of all that is measured at the same place."""
        places: dict[tuple[str, str], str] = {}
        sides = {"from": "from_bus", "to": "to_bus", "hv": "hv_bus", "lv": "lv_bus"}
        for row in rows(self.net, "measurement"):
            kind, element = text(row, "element_type"), row["element"]
            if kind == "bus" and element in self.of_bus:
                places.setdefault((self.of_bus[element], ""), name_of(row, "measurement"))
                continue
            equipment, side = self.equipment.get((kind, element), ""), sides.get(text(row, "side"), "")
            bus = self.net[kind][side].at[element] if equipment and side in self.net[kind] else None
            if bus not in self.of_bus:
                self.remarks.left_out(
                    "measurement", f"what it measures ({kind}) is not in the document", [name_of(row, "measurement")]
                )
                continue
            places.setdefault((self.of_bus[bus], equipment), name_of(row, "measurement"))
        for node, equipment in places:
            name = self.ids.take(f"{equipment or node}-terminal", "terminal")
            through = self._seen_from(node, equipment)
            self.terminals.append(Terminal(id=name, node=node, equipment=through, phases="ABC"))
        if places:
            self.remarks.left_out("measured values", "the document says where is measured, not what")

    def _seen_from(self, node: str, equipment: str) -> str:
        """Give the equipment, or the switch that stands between it and the node at which it is measured."""
        edges: list[Branch | Transformer] = [*self.branches, *self.transformers]
        ends = next(({one.from_node, one.to_node} for one in edges if one.id == equipment), {node})
        between = [
            one.id
            for one in self.switches
            if node in (one.from_node, one.to_node) and ends & {one.from_node, one.to_node}
        ]
        return equipment if node in ends or not between else between[0]
