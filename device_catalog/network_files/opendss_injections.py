"""
Loads, capacitors, reactors, generators and storage of an OpenDSS circuit.

Where it stands: a part of `opendss_import`. A load's power is what it draws at nominal voltage: where OpenDSS has
another nominal voltage than the node, and the power follows the voltage, it is converted.

OpenDSS's load models become exponents: 1 and 6 constant power, 2 constant impedance, 3 and 7 active power constant and
reactive power of an impedance, 4 by its CVR factors, 5 constant current; 8 becomes up to three loads.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from algorithms.api.network_equipment import Connection, Generator, Load
from device_catalog.network_files.imported import Ids, Remarks
from device_catalog.network_files.opendss_engine import Element
from device_catalog.network_files.opendss_lines import LETTERS

_models = {1: (0.0, 0.0), 2: (2.0, 2.0), 3: (0.0, 2.0), 5: (1.0, 1.0), 6: (0.0, 0.0), 7: (0.0, 2.0)}
_pairs = {frozenset("AB"): "AB", frozenset("BC"): "BC", frozenset("AC"): "CA"}


@dataclass(frozen=True, slots=True)
class Place:
    """
    Between what something is connected.

    Attributes
    ----------
    connection : Connection
    keys : tuple of str
        Phases or pairs of phases.
    neutral : int or None
        Node of the star point.
    """

    connection: Connection
    keys: tuple[str, ...]
    neutral: int | None


def place_of(element: Element, *, delta: bool) -> Place:
    """
    Tell between what an element is connected.

    Raises
    ------
    ValueError
        When the document cannot say it.
    """
    nodes = element.nodes[0]
    live = [node for node in nodes if node in (1, 2, 3)]
    if any(node not in (0, 1, 2, 3, 4) for node in nodes):
        raise ValueError(f"conductors at nodes {nodes}; the document has phases A, B, C and a neutral")
    letters = [LETTERS[node] for node in live]
    if delta and len(live) == 3:
        return Place(Connection.DELTA, ("AB", "BC", "CA"), None)
    if len(live) == 2 and element.phases == 1:
        return Place(Connection.DELTA, (_pairs[frozenset(letters)],), None)
    if delta and not (len(live) == 1 and element.phases == 1):
        raise ValueError(f"an open delta at nodes {nodes}; the document has pairs of phases one by one")
    if len(live) != element.phases or len(set(live)) != len(live):
        raise ValueError(f"conductors at nodes {nodes} for {element.phases} phases")
    neutral = next((node for node in nodes[element.phases :]), 0)
    return Place(Connection.WYE, tuple(letters), neutral)


class Injections:
    """
    Loads and generators of one circuit, as they are read.

    Parameters
    ----------
    base_voltages : dict
        Nominal voltage line to line of each bus [V].
    nodes : dict
        Node of each bus.
    load_multiplier : float
        [1]
    ids : Ids
    remarks : Remarks
    """

    def __init__(
        self,
        base_voltages: dict[str, float],
        nodes: dict[str, str],
        load_multiplier: float,
        ids: Ids,
        remarks: Remarks,
    ) -> None:
        self.loads: list[Load] = []
        self.generators: list[Generator] = []
        self.customers: dict[str, int] = {}
        self.star_points: list[tuple[str, int]] = []
        self._base = base_voltages
        self._nodes = nodes
        self._multiplier = load_multiplier
        self._ids = ids
        self._remarks = remarks

    def load(self, element: Element) -> None:
        """Add a load."""
        place = place_of(element, delta=element.text("conn").lower().startswith(("d", "l")))
        self._star(element, place)
        fixed = element.text("status").lower().startswith(("f", "e"))
        factor = 1e3 * (1.0 if fixed else self._multiplier) / len(place.keys)
        p, q = element.number("kw") * factor, element.number("kvar") * factor
        self._outside(element, place)
        scale = self._own_nominal(element, place) / self._nominal(element, place)
        profile = element.text("yearly") or element.text("daily")
        node = self._nodes[element.buses[0]]
        self.customers[node] = self.customers.get(node, 0) + round(element.number("numcust"))
        for suffix, part_p, part_q, (a, b) in self._parts(element):
            self.loads.append(
                Load(
                    id=self._ids.take(f"{element.name}{suffix}", "load"),
                    node=node,
                    connection=place.connection,
                    p=dict.fromkeys(place.keys, part_p * p * scale**-a),
                    q=dict.fromkeys(place.keys, part_q * q * scale**-b),
                    p_exponent=a,
                    q_exponent=b,
                    profile=profile,
                )
            )

    def capacitor(self, element: Element) -> None:
        """Add a bank of capacitors, with the steps that are on."""
        place = place_of(element, delta=element.text("conn").lower().startswith(("d", "l")))
        self._star(element, place)
        states, sizes = element.numbers("states"), element.numbers("kvar")
        power = sum(size for size, state in zip(sizes, states, strict=False) if state)
        scale = self._nominal(element, place) / self._own_nominal(element, place)
        self._impedance(element, place, 0.0, -1e3 * power * scale**2)

    def reactor(self, element: Element) -> None:
        """Add a reactor between phases, or from phases to earth."""
        place = place_of(element, delta=element.text("conn").lower().startswith(("d", "l")))
        self._star(element, place)
        admittance = element.admittance()
        nominal = self._nominal(element, place)
        if place.connection == Connection.DELTA:
            own = -admittance[0, 1] * len(place.keys)
        else:
            own = admittance[0, 0] * len(place.keys)
        power = nominal**2 * own.conjugate()
        self._impedance(element, place, power.real, power.imag)

    def generator(self, element: Element) -> None:
        """Add what feeds, with the powers that OpenDSS found."""
        place = place_of(element, delta=element.text("conn").lower().startswith(("d", "l")))
        self._star(element, place)
        nodes = element.nodes[0]
        powers, voltages = element.powers()[: len(nodes)], element.voltages()[: len(nodes)]
        star = next((voltage for node, voltage in zip(nodes, voltages, strict=True) if node == 4), 0j)
        by_letter = {  # of the phase against the star point, not against earth
            LETTERS[node]: power * (voltage - star) / voltage if voltage else power
            for node, power, voltage in zip(nodes, powers, voltages, strict=True)
            if node
        }
        if place.connection == Connection.DELTA:
            whole = sum(powers) / len(place.keys)
            by_letter = dict.fromkeys(place.keys, whole)
        holding = element.kind == "generator" and element.text("model") == "1"
        if not holding:
            why = "the document has stated powers: those that OpenDSS found"
            self._remarks.changed(f"{element.kind} with a rule for its power", why, [element.name])
        storage = element.kind == "storage"
        p = {key: by_letter[key].real for key in place.keys}
        fields = {
            "id": self._ids.take(element.name, "generator"),
            "node": self._nodes[element.buses[0]],
            "connection": place.connection,
            "p": p,
            "q": {key: by_letter[key].imag for key in place.keys},
        }
        if storage or all(value <= 0 for value in p.values()):
            self.generators.append(Generator(**fields, storage=storage))  # type: ignore[arg-type]
        else:
            self.loads.append(Load(**fields))  # type: ignore[arg-type]

    def _impedance(self, element: Element, place: Place, p: float, q: float) -> None:
        share = len(place.keys)
        self.loads.append(
            Load(
                id=self._ids.take(element.name, element.kind),
                node=self._nodes[element.buses[0]],
                connection=place.connection,
                p=dict.fromkeys(place.keys, p / share),
                q=dict.fromkeys(place.keys, q / share),
                p_exponent=2.0,
                q_exponent=2.0,
            )
        )

    def _parts(self, element: Element) -> Iterator[tuple[str, float, float, tuple[float, float]]]:
        model = int(element.number("model"))
        if model == 4:
            yield "", 1.0, 1.0, (element.number("cvrwatts"), element.number("cvrvars"))
        elif model == 8:
            shares = element.numbers("zipv")
            parts = (("-impedance", 2.0), ("-current", 1.0), ("-power", 0.0))
            for (suffix, exponent), of_p, of_q in zip(parts, shares[:3], shares[3:6], strict=True):
                if of_p or of_q:
                    yield suffix, of_p, of_q, (exponent, exponent)
        else:
            yield "", 1.0, 1.0, _models[model]

    def _nominal(self, element: Element, place: Place) -> float:
        """Give the nominal voltage across it at its node [V]."""
        base = self._base[element.buses[0]]
        return base if place.connection == Connection.DELTA else base / math.sqrt(3)

    @staticmethod
    def _own_nominal(element: Element, place: Place) -> float:
        """Give the nominal voltage across it that OpenDSS has [V]."""
        stated = element.number("kv") * 1e3
        across = element.phases == 1 or place.connection == Connection.DELTA
        return stated if across else stated / math.sqrt(3)

    def _star(self, element: Element, place: Place) -> None:
        if place.neutral is not None:
            self.star_points.append((element.buses[0], place.neutral))

    def _outside(self, element: Element, place: Place) -> None:
        """Say where OpenDSS takes a load for an impedance because its voltage is outside its bounds."""
        if element.number("model") == 2:
            return
        voltages = element.voltages()[: len(element.nodes[0])]
        live = [voltage for node, voltage in zip(element.nodes[0], voltages, strict=True) if node in (1, 2, 3)]
        star = sum(v for n, v in zip(element.nodes[0], voltages, strict=True) if n == 4)
        if place.connection == Connection.WYE:
            across = [abs(voltage - star) for voltage in live]
        else:
            across = [abs(live[index] - live[index - 1]) for index in range(len(live))]
        nominal = self._own_nominal(element, place)
        low, high = element.number("vminpu") * nominal, element.number("vmaxpu") * nominal
        if any(not low <= voltage <= high for voltage in across):
            why = "their voltage is outside VminPU to VmaxPU, where OpenDSS takes them for impedances; here they stay"
            self._remarks.changed("loads", why, [element.name])
