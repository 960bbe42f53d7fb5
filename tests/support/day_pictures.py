"""
Pictures of a day of state estimation: profiles with their uncertainty, and the errors of the levels side by side.

Where it stands: `tests/benchmarks/se_day.py` draws with it what it measured. Sizes, fonts and colours are those of a
two-column journal (183 mm wide at most; colours that colour-blind readers tell apart).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TRUTH, ESTIMATE, BAND = "#D55E00", "#0072B2", "#A9CFE8"
LEVEL_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
SIGMA = r"$\sigma$"
STYLE = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "savefig.dpi": 300,
    "axes.unicode_minus": True,
}
WIDTH = 7.2
"""183 mm [in]."""


@dataclass
class Profile:
    """
    One curve over the day: true, estimated, standard uncertainty.

    Attributes
    ----------
    title, quantity, unit : str
    nominal : float
        What errors are told of, in per cent; 0 for errors in the unit itself.
    """

    title: str
    quantity: str
    unit: str
    nominal: float = 0.0
    true: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    sigma: list[float] = field(default_factory=list)

    def add(self, true: float, found: float, sigma: float) -> None:
        self.true.append(true)
        self.found.append(found)
        self.sigma.append(sigma)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def draw_profile(path: Path, profile: Profile, minutes: Any, remark: str) -> None:
    """
    Draw truth and estimate above, the error within its band below.

    Parameters
    ----------
    path : Path
        With the suffix of a format that matplotlib writes.
    profile : Profile
    minutes : numpy.ndarray
        Of the day, one for each value.
    remark : str
        What kind of meters it was, below the title.
    """
    plt = _pyplot()
    hours = np.asarray(minutes) / 60.0
    true, found, sigma = (np.array(one) for one in (profile.true, profile.found, profile.sigma))
    share = 100.0 / profile.nominal if profile.nominal else 1.0
    unit = "%" if profile.nominal else profile.unit
    off, band = share * (found - true), 2.0 * share * sigma
    with plt.rc_context(STYLE):
        figure, (upper, lower) = plt.subplots(
            2, 1, figsize=(WIDTH, 3.6), sharex=True, height_ratios=(1.7, 1), layout="constrained"
        )
        upper.fill_between(
            hours, found - 2 * sigma, found + 2 * sigma, color=BAND, linewidth=0, label=f"estimate ± 2{SIGMA}"
        )
        upper.plot(hours, found, color=ESTIMATE, linewidth=0.5, label="estimate")
        upper.plot(hours, true, color=TRUTH, linewidth=0.9, label="truth")
        upper.set_ylabel(f"{profile.quantity} / {profile.unit}")
        upper.set_title(f"{profile.title}\n{remark}", linespacing=1.4)
        upper.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2, handlelength=1.6)
        inside = 100.0 * float(np.mean(np.abs(off) <= band))
        lower.fill_between(hours, -band, band, color=BAND, linewidth=0)
        lower.axhline(0.0, color="0.4", linewidth=0.5)
        lower.plot(hours, off, color=ESTIMATE, linewidth=0.5)
        lower.set_ylabel(f"error / {unit}")
        lower.set_xlabel("hour of the day")
        remark = f"RMS {np.sqrt(np.mean(off**2)):.2g} {unit}, {inside:.1f} % within ± 2{SIGMA}"
        lower.text(1.0, 1.02, remark, transform=lower.transAxes, ha="right", va="bottom", fontsize=7.5)
        largest = 1.15 * max(float(band.max()), float(np.abs(off).max()), 1e-12)
        lower.set_ylim(-largest, largest)
        lower.set_xlim(0, 24)
        lower.set_xticks(range(0, 25, 3))
        for axes in (upper, lower):
            axes.grid(color="0.9", linewidth=0.5)
            axes.set_axisbelow(True)
        figure.align_ylabels()
        figure.savefig(path)
        plt.close(figure)


def draw_levels(path: Path, found: Mapping[str, Mapping[str, tuple[float, float]]]) -> None:
    """
    Draw the errors of |V| of all levels for each kind of meters.

    Parameters
    ----------
    path : Path
    found : mapping
        By case and level, RMS and largest error [%].
    """
    plt = _pyplot()
    cases = list(found)
    levels = list(found[cases[0]])
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.5 * len(cases)), layout="constrained")
        height = 0.8 / len(levels)
        for number, level in enumerate(levels):
            at = np.arange(len(cases)) + (number - (len(levels) - 1) / 2) * height
            rms, largest = (np.array([found[case][level][part] for case in cases]) for part in (0, 1))
            colour = LEVEL_COLOURS[number % len(LEVEL_COLOURS)]
            axes.barh(at, rms, height=0.9 * height, color=colour, label=level)
            axes.plot(largest, at, linestyle="none", marker="|", markersize=6, color=colour)
            for place, one, most in zip(at, rms, largest, strict=True):
                axes.text(most * 1.06, place, f"{one:.2g} / {most:.2g}", va="center", fontsize=6.5)
        axes.set_yticks(range(len(cases)), cases)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(right=2.2 * max(one[1] for case in found.values() for one in case.values()))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("error of |V| / %: RMS (bar) and largest of the day (mark)")
        figure.legend(loc="outside upper right", ncols=len(levels), handlelength=1.2)
        axes.grid(axis="x", which="major", color="0.9", linewidth=0.5)
        axes.set_axisbelow(True)
        figure.savefig(path)
        plt.close(figure)
