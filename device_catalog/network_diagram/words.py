"""What is written in a diagram: names cut to length, powers and lengths with a fitting unit, data under the pointer."""

from collections.abc import Iterable

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, Element, Load, Node, Transformer
from algorithms.api.network_operation import Switch


def short(text: str, most: int = 16) -> str:
    """
    Cut a name to length.

    >>> short("Transformer-Marktplatz-West", 12)
    'Transformer…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def power_words(loads: Iterable[Load], power: float = 0.0) -> str:
    """
    Write a power: of loads together [W], or stated [VA].

    >>> power_words([], 400e3)
    '400 kVA'
    """
    loads = list(loads)
    total = sum(sum(load.p.values()) for load in loads)
    unit = "W"
    if loads and not total:
        total, unit = sum(sum(load.q.values()) for load in loads), "var"
    if not loads:
        total, unit = power, "VA"
    for factor, prefix in ((1e6, "M"), (1e3, "k")):
        if abs(total) >= factor:
            return f"{abs(total) / factor:.3g} {prefix}{unit}"
    return f"{abs(total):.3g} {unit}"


def length_words(metres: float) -> str:
    """
    Write a length.

    >>> length_words(2820.0), length_words(35.4)
    ('2.82 km', '35 m')
    """
    return f"{metres / 1e3:.3g} km" if metres >= 1e3 else f"{metres:.0f} m" if metres >= 10 else f"{metres:.2g} m"


def describe(element: Element, document: NetworkDocument) -> str:
    """Say what something is, in a line."""
    name = f"{element.id} ({element.name})" if element.name and element.name != element.id else element.id
    if isinstance(element, Node):
        customers = f", {element.customers} customers" if element.customers else ""
        return f"{name}: {element.phases}, {element.base_voltage:g} V{customers}"
    if isinstance(element, Branch):
        kind = f", {element.line_type}" if element.line_type else ""
        return f"{name}: {length_words(element.length)}{kind}, from {element.from_node} to {element.to_node}"
    if isinstance(element, Transformer):
        high, low = (voltage / 1e3 for voltage in element.rated_voltage)
        return f"{name}: {element.vector_group}, {power_words([], element.rated_power)}, {high:g}/{low:g} kV"
    if isinstance(element, Switch):
        return f"{name}: {element.kind}, normally {element.normal}, {element.operation} operation"
    if isinstance(element, Load):
        phases = ", ".join(f"{key} {power:g} W" for key, power in element.p.items())
        return f"{name}: {phases}"
    return f"{name} of {document.network}"
