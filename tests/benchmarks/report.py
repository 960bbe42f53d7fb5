"""
How every benchmark tells its figures: a table for people, one JSON object for machines.

Each script runs alone: ``python tests/benchmarks/phasor.py [--json] [--quick]``. The exit status is 0 whether
the figures are met or not; a benchmark measures, it does not judge.
"""

import argparse
import json
import operator
import os
import platform
import sys
from dataclasses import dataclass, field
from typing import Any

_comparisons = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


def arguments(description: str) -> argparse.ArgumentParser:
    """Make the parser that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--quick", action="store_true", help="a rough answer within 50 s")
    return parser


@dataclass
class Report:
    """Figures in the order they were measured, and the conditions they were measured under."""

    title: str
    conditions: dict[str, Any] = field(default_factory=dict)
    figures: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conditions = {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "load_average": round(os.getloadavg()[0], 2),
            "python": platform.python_version(),
            **self.conditions,
        }

    def figure(self, name: str, value: float, unit: str, reach: str = "") -> None:
        """
        Add a figure.

        Parameters
        ----------
        name : str
        value : float
        unit : str
        reach : str
            What was asked for, such as ``<= 0.07``; empty where a figure is only told.
        """
        met = None
        if reach:
            comparison, bound = reach.split()
            met = bool(_comparisons[comparison](value, float(bound)))
        self.figures.append({"name": name, "value": float(f"{value:.4g}"), "unit": unit, "reach": reach, "met": met})

    def finish(self, *, as_json: bool) -> None:
        """Print everything."""
        if as_json:
            sys.stdout.write(json.dumps({"figures": self.figures, "conditions": self.conditions}) + "\n")
            return
        width = max(len(figure["name"]) for figure in self.figures)
        print(self.title)
        for figure in self.figures:
            verdict = {True: "met", False: "MISSED", None: ""}[figure["met"]]
            name, value, unit, reach = (figure[key] for key in ("name", "value", "unit", "reach"))
            print(f"  {name:<{width}}  {value:>12g} {unit:<10} {reach:<12} {verdict}")
        for name, value in self.conditions.items():
            print(f"  ({name}: {value})")
