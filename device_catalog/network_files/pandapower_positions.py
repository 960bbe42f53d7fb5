"""
Where the buses of a pandapower net are.

Where it stands: a part of `pandapower_import`. Coordinates in degrees (GeoJSON) become metres east and north of their
middle; whether they are degrees, metres or no map at all, the lengths of lines tell.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from device_catalog.network_files.frames import has, number, rows
from device_catalog.network_files.imported import Remarks


def positions(net: Any, remarks: Remarks) -> dict[Any, tuple[float, float]]:
    """Give positions of buses [m], as far as they are known."""
    found: dict[Any, tuple[float, float]] = {}
    for row in rows(net, "bus"):
        try:
            x, y = json.loads(row.get("geo") or "")["coordinates"][:2]
            found[row["index"]] = float(x), float(y)
        except (ValueError, TypeError, KeyError):
            if has(row, "x", "y"):
                found[row["index"]] = number(row, "x"), number(row, "y")
    if not found:
        return {}
    middle = [sum(place[axis] for place in found.values()) / len(found) for axis in (0, 1)]
    scale = _scale(net, found, middle[1])
    if scale is None:
        remarks.changed("positions", "their distances are not those of the lines: good for drawing only")
        scale = 1.0, 1.0
    return {bus: ((x - middle[0]) * scale[0], (y - middle[1]) * scale[1]) for bus, (x, y) in found.items()}


def _scale(net: Any, places: Mapping[Any, tuple[float, float]], latitude: float) -> tuple[float, float] | None:
    """Tell how many metres a unit is east and north; nothing where positions are no map."""
    degree = 111_320.0
    ways = [(1.0, 1.0)]
    if all(abs(x) <= 180 and abs(y) <= 90 for x, y in places.values()):
        ways.append((degree * math.cos(math.radians(latitude)), degree))
    lines = [row for row in rows(net, "line") if row["from_bus"] in places and row["to_bus"] in places]
    length = sum(number(row, "length_km") for row in lines) * 1e3
    for east, north in ways:
        straight = 0.0
        for row in lines:
            (x1, y1), (x2, y2) = places[row["from_bus"]], places[row["to_bus"]]
            straight += math.hypot((x2 - x1) * east, (y2 - y1) * north)
        if length and 0.2 <= straight / length <= 1.1:
            return east, north
    return None
