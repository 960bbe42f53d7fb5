"""
Names of a diagram, the most important first: transformers, open switches, areas, nodes that have something, lines.

Where it stands: the last that `diagram` draws inside the network; what finds no room is left out and counted.
"""

from algorithms.api.network_equipment import Branch, Transformer
from algorithms.api.network_operation import Level
from device_catalog.network_diagram import symbols
from device_catalog.network_diagram.layout import middle
from device_catalog.network_diagram.picture import Picture
from device_catalog.network_diagram.words import length_words, power_words, short


def write_names(picture: Picture) -> None:
    """Write names, the most important first."""
    for power, at, sides in picture.powers:
        picture.labels.place([power], at, picture.letters * 0.85, gap=5, colour="#555555", sides=sides)
    _transformer_names(picture)
    _switch_names(picture)
    _area_names(picture)
    _node_names(picture)
    if picture.small:
        _line_names(picture)


def _transformer_names(picture: Picture) -> None:
    size = picture.letters
    for one in picture.document.transformers:
        path = picture.layout.paths.get(one.id)
        beside = picture.structure.parallel.get(one.id, [])
        if path is None or any(one in others for others in picture.structure.parallel.values()):
            continue
        count = f"{1 + len(beside)} x " if beside else ""
        words = [count + short(one.name or one.id, 20), *_transformer_words(picture, one)]
        picture.labels.place(words, middle(path)[0], size, gap=22 * picture.layout.scale, bold=True, must=picture.small)


def _switch_names(picture: Picture) -> None:
    size = picture.letters
    for switch in picture.document.switches:
        path = picture.layout.paths.get(switch.id) or next(
            (s.path for s in picture.layout.stubs if s.edge is switch and s.node == switch.from_node), None
        )
        if path is None:
            continue
        is_open = picture.structure.is_open(switch)
        if is_open or picture.small:
            colour = symbols.OPEN if is_open else "#222222"
            words = [short(switch.name or switch.id)]
            picture.labels.place(
                words, middle(path)[0], size * 0.9, gap=14 * picture.layout.scale, colour=colour, must=is_open
            )


def _node_names(picture: Picture) -> None:
    size = picture.letters
    important = {*picture.overlay.node_notes, *picture.overlay.node_colours}
    served = {one.node for one in (*picture.document.loads, *picture.document.generators)}
    order = sorted(
        picture.layout.places, key=lambda node: (node not in important, not picture.is_busbar(node), node not in served)
    )
    for node in order:
        if (node in picture.structure.passing or node in picture.structure.between) and node not in important:
            continue
        words = [short(picture.name(node))]
        if node in picture.overlay.node_notes:
            words.append(picture.overlay.node_notes[node])
        picture.labels.place(
            words, picture.layout.places[node], size, gap=5.0 * picture.layout.scale + 1, bold=picture.is_busbar(node)
        )


def _transformer_words(picture: Picture, one: Transformer) -> list[str]:
    high, low = (voltage / 1e3 for voltage in one.rated_voltage)
    words = [f"{one.vector_group}, {power_words([], one.rated_power)}"]
    if picture.small:
        words.append(f"{high:g}/{low:g} kV")
        if one.tap is not None:
            words.append(f"tap {one.tap.position:+d}{' (regulates)' if one.tap.regulates else ''}")
    return words


def _area_names(picture: Picture) -> None:
    for area in picture.document.areas:
        lower = [node for node in area.nodes if node in picture.layout.places and node not in picture.structure.passing]
        if (area.level == Level.CONCENTRATOR and not picture.small) or not lower:
            continue
        first = min(lower, key=lambda node: (picture.layout.places[node][1], picture.layout.places[node][0]))
        words = [short(area.name or area.id, 22)]
        picture.labels.place(
            words,
            picture.layout.places[first],
            picture.letters,
            gap=18 * picture.layout.scale,
            colour="#7d5a00",
            sides="lrab",
        )


def _line_names(picture: Picture) -> None:
    for branch in picture.document.branches:
        path = picture.layout.paths.get(branch.id)
        if path is not None:
            at, _ = middle(path)
            words = [length_words(branch.length), short(_type_of(picture, branch), 16)]
            kept = [word for word in words if word]
            picture.labels.place(kept, at, picture.letters * 0.75, gap=4, colour="#6b6b6b", sides="rl")


def _type_of(picture: Picture, branch: Branch) -> str:
    found = next((one for one in picture.document.line_types if one.id == branch.line_type), None)
    return (found.name or found.id) if found else ""
