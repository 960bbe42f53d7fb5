"""
A 13-bus MV grid and one day of what it draws, minute by minute.

After M. Pau et al., SEGAN 15 (2018) 14-23, doi 10.1016/j.segan.2017.08.001, section 5: 15 kV, a primary substation,
nine secondary ones, two industrial loads, a generator. The paper prints neither lines nor profiles; these are of the
same size, so that only shares, not kilowatt-hours, can be compared with it.
"""

import math
from random import Random
from typing import Any

import numpy as np

from tests.support.networks import Document
from tests.support.published_networks import tabled_document

MINUTES = 1440
_r, _x = 0.32, 0.35
"""Overhead line of 95 mm2 aluminium [ohm/km]."""
_lines = (
    (0, 1, 2.0, 1), (1, 2, 1.8, 1), (2, 3, 1.5, 1), (3, 4, 2.2, 1), (4, 10, 1.2, 1),
    (0, 5, 2.4, 1), (5, 6, 1.6, 1), (6, 7, 1.9, 1), (7, 12, 1.4, 1),
    (6, 8, 1.7, 1), (8, 9, 1.5, 1), (9, 11, 1.1, 1),
    (4, 8, 2.0, 0), (10, 12, 1.6, 0), (3, 11, 2.3, 0),
)  # fmt: skip
"""From, to, length [km], closed."""
_residential = {1: 520, 2: 430, 3: 610, 4: 380, 5: 450, 6: 350, 7: 560, 8: 480, 9: 400}
"""Peak of each secondary substation [kW]."""
_industrial = {10: (1900.0, 6.0, 14.0), 11: (1500.0, 13.0, 22.0)}
"""Peak [kW], begin and end of work [h]."""
GENERATOR, GENERATED = 12, 2600.0
"""Bus of the generator and its peak [kW]."""


def loss_day_document() -> Document:
    """Give the grid; its loads draw their peaks."""
    rows = [["voltage", "15"], ["source", "0"]]
    rows += [["load", str(bus), str(peak), str(0.35 * peak)] for bus, peak in _residential.items()]
    rows += [["load", str(bus), str(peak), str(0.5 * peak)] for bus, (peak, _, _) in _industrial.items()]
    rows.append(["load", str(GENERATOR), str(-GENERATED), "0"])
    rows += [
        ["branch", str(one), str(other), f"{length * _r:.6g}", f"{length * _x:.6g}", str(closed)]
        for one, other, length, closed in _lines
    ]
    return tabled_document("loss-day", rows)


def loss_day_power(seed: int = 1) -> Any:
    """Give what each load draws in each minute, in the order of the document, shape (1440, n_loads) [VA]."""
    pick = Random(seed)
    hours = np.arange(MINUTES) / 60.0
    columns = []
    for peak in _residential.values():
        shift, wobble = pick.uniform(-0.7, 0.7), pick.uniform(0.05, 0.12)
        morning = 0.35 * np.exp(-((hours - 7.5 - shift) ** 2) / 3.0)
        evening = 0.75 * np.exp(-((hours - 20.0 - shift) ** 2) / 7.0)
        slow = np.cumsum([pick.gauss(0.0, 1.0) for _ in range(MINUTES)])
        noise = wobble * (slow - np.linspace(0.0, slow[-1], MINUTES)) / max(1.0, float(np.abs(slow).max()))
        columns.append(1e3 * peak * np.clip(0.22 + morning + evening + noise, 0.08, 1.0) * (1 + 0.35j))
    for peak, begin, end in _industrial.values():
        work = 1.0 / (1.0 + np.exp(-6.0 * (hours - begin))) - 1.0 / (1.0 + np.exp(-6.0 * (hours - end)))
        columns.append(1e3 * peak * (0.12 + 0.88 * work) * (1 + 0.5j))
    sun = np.clip(np.sin(math.pi * (hours - 6.0) / 13.0), 0.0, None) ** 1.3 * ((hours > 6.0) & (hours < 19.0))
    clouds = np.array([1.0 - 0.5 * (pick.random() < 0.2) for _ in range(MINUTES // 20)]).repeat(20)
    columns.append(-1e3 * GENERATED * sun * clouds + 0j)
    return np.stack(columns, axis=1)
