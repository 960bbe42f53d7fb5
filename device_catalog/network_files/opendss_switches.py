"""
Switches of an OpenDSS circuit, what trips them, and the nominal voltages of buses.

Where it stands: a part of `opendss_import`.
"""

import math

from algorithms.api.network_operation import Protection, Switch, SwitchKind, SwitchState
from device_catalog.network_files.imported import Ids, Remarks
from device_catalog.network_files.opendss_engine import Element, Engine

PROTECTING = {"fuse": SwitchKind.FUSE, "recloser": SwitchKind.RECLOSER, "relay": SwitchKind.BREAKER}
"""What protects a line, and the switch it makes of it."""

_breaking = (SwitchKind.LOAD_BREAK_SWITCH, SwitchKind.BREAKER, SwitchKind.RECLOSER)


def switch(
    name: str, element: Element, ends: tuple[str, str], phases: str, *, kind: SwitchKind, state: SwitchState
) -> Switch:
    """Give a switch with the rating of a line, which it may break where its kind breaks load."""
    rating = element.number("normamps")
    breaks = rating if kind in _breaking else 0.0
    return Switch(
        id=name,
        name=element.name if name not in (element.name, f"{element.name}-switch") else "",
        from_node=ends[0],
        to_node=ends[1],
        kind=kind,
        phases=phases,
        normal=state,
        rating=rating if rating >= 2.0 else None,
        breaks=breaks,
        closes=breaks,
    )


def guards(elements: dict[str, list[Element]], remarks: Remarks) -> dict[str, tuple[Element, int]]:
    """Give what protects a line, and at which of its ends."""
    found = {}
    for kind in PROTECTING:
        for element in elements.pop(kind, []):
            guarded = (element.text("switchedobj") or element.text("monitoredobj")).lower()
            terminal = round(element.number("switchedterm") or 1)
            if guarded.startswith("line."):
                found[guarded.partition(".")[2]] = element, terminal
            else:
                remarks.left_out(kind, "it protects no line", [element.name])
    return found


def protection(element: Element, switch_id: str, ids: Ids, remarks: Remarks) -> Protection | None:
    """Give the pick-up currents and dead times of a relay or recloser; nothing for a fuse, whose switch says it all."""
    if element.kind == "fuse":
        why = "the document says what is a fuse, not how fast it melts"
        remarks.left_out("curve of fuses", why, [element.name])
        return None
    dead = element.numbers("recloseintervals")
    why = "only pick-up currents and dead times are kept"
    remarks.left_out("curves of relays and reclosers", why, [element.name])
    return Protection(
        id=ids.take(element.name, element.kind),
        switch=switch_id,
        phase_current=_above_zero(element, "phasetrip"),
        ground_current=_above_zero(element, "groundtrip"),
        dead_times=tuple(dead) if element.kind == "recloser" else (),
    )


def _above_zero(element: Element, name: str) -> float | None:
    value = element.number(name)
    return value if value > 0 else None


def base_voltages(engine: Engine, elements: dict[str, list[Element]], remarks: Remarks) -> dict[str, float]:
    """Give the nominal voltage line to line of each bus [V], by lines and transformers where it is not stated."""
    found = {bus: round(base * math.sqrt(3), 6) for bus, base, _, _ in engine.buses()}
    if all(found.values()):
        return found
    missing = [bus for bus, base in found.items() if not base]
    why = "the file sets no voltage bases: those of sources and windings"
    remarks.assumed("nominal voltages of buses", why, missing)
    for source in elements["vsource"]:
        found[source.buses[0]] = found[source.buses[0]] or source.number("basekv") * 1e3
    for winding in elements["transformer"]:
        across = math.sqrt(3) if winding.phases == 1 and len(set(winding.nodes[0]) & {1, 2, 3}) == 1 else 1.0
        for bus, voltage in zip(winding.buses, winding.numbers("kvs"), strict=True):
            found[bus] = found[bus] or voltage * 1e3 * across
    for _ in found:
        before = dict(found)
        for kind in ("line", "reactor"):
            for joining in elements[kind]:
                one, other = joining.buses[0], joining.buses[-1]
                found[one], found[other] = found[one] or found[other], found[other] or found[one]
        if found == before:
            break
    return found
