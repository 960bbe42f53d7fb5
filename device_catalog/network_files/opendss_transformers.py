"""
Transformers of an OpenDSS circuit.

Where it stands: a part of `opendss_import`. OpenDSS builds every transformer of single-phase units: so the zero
sequence meets the short-circuit impedance wherever a neutral and the other winding let it.

Rules:

- Two windings on the same phases in their order; others are refused with `ValueError`, which says why.
- The winding of the higher voltage is at `from_node`.
- A tap stands where it was left by its control; where both windings have one, one of them becomes rated voltage.
"""

from dataclasses import dataclass

from algorithms.api.network_equipment import Grounding, GroundingKind, TapChanger, Transformer
from device_catalog.network_files.imported import Remarks
from device_catalog.network_files.opendss_engine import Element
from device_catalog.network_files.opendss_lines import LETTERS

LEAST_LOSSES = 1e-9
"""Below this a no-load loss or magnetising current is none [%]."""


@dataclass(frozen=True, slots=True)
class Winding:
    """One winding: voltage across it or line to line [V], tap as a share of turns, resistance [1]."""

    bus: str
    nodes: tuple[int, ...]
    voltage: float
    power: float
    delta: bool
    tap: float
    lowest: float
    highest: float
    steps: int
    resistance: float
    neutral: complex | None


def read_windings(element: Element) -> list[Winding]:
    """
    Read both windings.

    Raises
    ------
    ValueError
        When there are not two.
    """
    count = int(element.number("windings"))
    if count != 2:
        raise ValueError(f"{count} windings; the document has transformers of two")
    lists = {name: element.numbers(name) for name in ("kvs", "kvas", "taps", "%rs")}
    connections = element.text("conns").strip("[]() ").replace(",", " ").split()
    found = []
    for index in range(2):
        element.set_winding(index + 1)
        neutral = element.number("rneut"), element.number("xneut")
        found.append(
            Winding(
                bus=element.buses[index],
                nodes=element.nodes[index],
                voltage=lists["kvs"][index] * 1e3,
                power=lists["kvas"][index] * 1e3,
                delta=connections[index].lower().startswith(("d", "ll")),
                tap=lists["taps"][index],
                lowest=element.number("mintap"),
                highest=element.number("maxtap"),
                steps=round(element.number("numtaps")),
                resistance=lists["%rs"][index] / 100,
                neutral=complex(*neutral) if neutral[0] >= 0 else None,
            )
        )
    return found


def transformer(
    element: Element, name: str, nodes: dict[str, str], *, regulated: int | None, remarks: Remarks
) -> Transformer:
    """
    Give the transformer of an element.

    Parameters
    ----------
    element : Element
    name : str
        Its id.
    nodes : dict
        Node of each bus.
    regulated : int or None
        The winding (1 or 2) whose tap a control moves.
    remarks : Remarks

    Raises
    ------
    ValueError
        When the document has no such transformer.
    """
    windings = read_windings(element)
    order = [0, 1] if windings[0].voltage >= windings[1].voltage else [1, 0]
    high, low = (windings[index] for index in order)
    group, phases = _group(element, high, low)
    base = high.voltage**2 / windings[0].power
    series = complex(windings[0].resistance + windings[1].resistance, element.number("xhl") / 100) * base
    losses, magnetising = element.number("%noloadloss"), element.number("%imag")
    if max(losses, magnetising) > LEAST_LOSSES:
        why = "in the document it stands at the higher voltage, in OpenDSS at the last winding"
        remarks.changed("magnetising admittance of transformers", why, [element.name])
    tapped = order.index(regulated - 1) if regulated else 0 if high.tap != 1.0 else 1
    rated, other = [high.voltage, low.voltage], (high, low)[1 - tapped].tap
    if other != 1.0:
        rated[1 - tapped] *= other
        series *= other**2 if tapped == 1 else 1.0
        why = "both windings have one: the other is in the rated voltage"
        remarks.changed("taps of transformers", why, [element.name])
    return Transformer(
        id=name,
        name=element.name if element.name != name else "",
        from_node=nodes[high.bus],
        to_node=nodes[low.bus],
        vector_group=group,
        phases=phases,
        rated_power=windings[0].power,
        rated_voltage=(rated[0], rated[1]),
        r=series.real,
        x=series.imag,
        g=losses / 100 / base if losses > LEAST_LOSSES else 0.0,
        b=-magnetising / 100 / base if magnetising > LEAST_LOSSES else 0.0,
        from_grounding=_grounding(high) if "YN" in group else None,
        to_grounding=_grounding(low) if "yn" in group else None,
        tap=_tap((high, low)[tapped], tapped, element, remarks, regulates=regulated is not None),
    )


def _group(element: Element, high: Winding, low: Winding) -> tuple[str, str]:
    if element.phases == 1:
        pairs = [winding.nodes[:2] for winding in (high, low)]
        alike = [frozenset(4 if node == 0 else node for node in pair) for pair in pairs]
        if alike[0] != alike[1] or any(node not in LETTERS for node in alike[0]):
            raise ValueError(f"windings on nodes {pairs[0]} and {pairs[1]}; the document's are on the same phases")
        phases = "".join(letter for node, letter in LETTERS.items() if node in alike[0] and letter != "N")
        turned = [(4 if pair[0] == 0 else pair[0]) == max(alike[0]) for pair in pairs]
        return ("Ii0" if turned[0] == turned[1] else "Ii6"), phases
    if element.phases != 3 or high.nodes[:3] != (1, 2, 3) or low.nodes[:3] != (1, 2, 3):
        raise ValueError(f"windings on nodes {high.nodes} and {low.nodes}; the document's are on 1, 2, 3")
    letters = ["D" if one.delta else "YN" if one.nodes[3] in (0, 4) else "Y" for one in (high, low)]
    lead = element.text("leadlag").lower() in ("lead", "euro")
    clock = 0 if high.delta == low.delta else 11 if lead else 1
    return f"{letters[0]}{letters[1].lower()}{clock}", "ABC"


def _grounding(winding: Winding) -> Grounding | None:
    if winding.nodes[3] == 0:
        return Grounding(kind=GroundingKind.SOLID)
    if winding.neutral is None:
        return None
    r, x = winding.neutral.real, winding.neutral.imag
    if not r and not x:
        return Grounding(kind=GroundingKind.SOLID)
    return Grounding(kind=GroundingKind.RESISTANCE if r >= abs(x) else GroundingKind.REACTANCE, r=r, x=x)


def _tap(winding: Winding, end: int, element: Element, remarks: Remarks, *, regulates: bool) -> TapChanger | None:
    if winding.tap == 1.0 and not regulates:
        return None
    step = (winding.highest - winding.lowest) / winding.steps if winding.steps else 0.0
    position = (winding.tap - 1.0) / step if step else 0.5
    if abs(position - round(position)) > 1e-6:
        remarks.changed("taps of transformers", "no whole step: counted in one step of its own", [element.name])
        return TapChanger(end=end, position=1, step=winding.tap - 1.0, lowest=0, highest=1, regulates=regulates)
    lowest, highest = (round((bound - 1.0) / step) for bound in (winding.lowest, winding.highest))
    position = round(position)
    return TapChanger(
        end=end,
        position=position,
        step=step,
        lowest=min(lowest, position, 0),
        highest=max(highest, position, 0),
        regulates=regulates,
    )
