"""
How much of each limit of IEC/IEEE 60255-118-1 the phasors need: every test, class P and M, 12 and 16 bit, both rates.

Each figure is the worst of all frames, phases, positive sequences and points of a test's range, at 50 and 60 Hz
nominal, divided by the limit: 1 is the limit. The standard's own reference filters (annex D) see the same signals in
the same run. Board: inputs of +-10 V, rated voltages 4 V and currents 3 V peak, half a step of noise (rms), channels
read one after the other. Reporting latency counts from the instant of a frame to its being made, processor time
included, for sources that deliver blocks of 1 to 20 ms.

``--plot FILE.png`` draws the fractions as bars (needs matplotlib).
"""

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of their own only cost products this small

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.report import Report, arguments
from tests.support import synchrophasor_limits as tests
from tests.support.synchrophasor import Finding, Unit, bench, findings, latencies, reference, unit_under_test
from tests.support.synchrophasor_limits import Service
from tests.support.synchrophasor_trials import PEAKS, Density, trials

BOARDS = ((12, 3200.0), (12, 6400.0), (16, 3200.0), (16, 6400.0))
NOMINALS = (50.0, 60.0)
CYCLES = {"P": 3, "M": 10}
BLOCKS = (1, 5, 10, 20)
"""What a source delivers at once [ms]; boards on USB hand over stages of 10 ms and more."""

COLOURS = ("#1f77b4", "#9ecae1", "#2ca02c", "#a1d99b", "#bbbbbb")
"""Of the bars: 12 bit blue, 16 bit green, what has no class grey."""

Worst = dict[tuple[str, str], Finding]


def worst_of(service_class: str, unit: Unit, bits: int, rate: float, density: Density) -> Worst:
    """Return the worst finding of each measure over both nominal frequencies."""
    worst: Worst = {}
    for nominal in NOMINALS:
        service = Service(service_class, nominal, round(nominal))
        for found in findings(trials(service, rate, density), unit, bench(rate, bits), service):
            key = found.test, found.measure
            if key not in worst or (found.fraction, found.value) > (worst[key].fraction, worst[key].value):
                worst[key] = replace(found, point=f"{found.point}, {nominal:g} Hz")
    return worst


def limited(columns: Mapping[str, Worst]) -> list[tuple[str, str]]:
    """Return the measures that the standard limits, in the order of its tests."""
    return list(dict.fromkeys(key for worst in columns.values() for key, found in worst.items() if found.limit))


def summary(report: Report, name: str, bits: int, worst: Worst, *, judged: bool) -> None:
    """Tell the worst of all limits, and of the static ones."""
    top = max(worst.values(), key=lambda found: found.fraction)
    static = max((found for found in worst.values() if found.test in tests.STATIC), key=lambda found: found.fraction)
    for title, found, reach in (
        ("all tests", top, "<= 1"),
        ("static tests", static, "<= 0.1" if bits == 16 else "<= 1"),
    ):
        where = f"{found.test}, {found.measure} at {found.point}"
        report.figure(f"{name}, {title}: {where}", found.fraction, "1", reach if judged else "")
    for measure in ("FE", "RFE"):
        found = worst[tests.VOLTAGE, measure]
        report.figure(f"{name}, {found.test}, {measure} (no limit) at {found.point}", found.value, found.unit)


def latency(report: Report, *, quick: bool) -> None:
    """Tell when the latest of a thousand frames and more came out."""
    for service_class in CYCLES:
        for nominal in NOMINALS:
            service = Service(service_class, nominal, round(nominal))
            for block in BLOCKS:
                board = replace(bench(6400.0, 12), block=round(6.4 * block))
                found = latencies(
                    {"performance_class": service_class}, board, service, 1.0 if quick else 2.5, time.process_time
                )
                name = f"reporting latency, class {service_class}, {nominal:g} Hz, blocks of {block} ms"
                limit = f"<= {service.latency:.4g}" if block <= 5 else ""
                report.figure(name, float(found.max()), "ms", limit)
                if not limit:
                    report.figure(f"{name}: of the limit", float(found.max()) / service.latency, "1")


def noise_floor(report: Report) -> None:
    r"""
    Tell the least standard deviation that any unbiased estimator of the window's samples alone can have.

    The worst of thousands of frames lies four of them away: ROCOF of class P at 60 Hz comes near its limit of 0.4 Hz/s
    whatever is done, and at 10 % voltage 12 bits could not keep the 0.1 Hz/s that class M need only keep at 100 %.

    Of white noise of variance s^2 and N samples of three phases of peak A, a parabola in the phase over the half window
    T has u(f) = s sqrt(6 / 3 N) / (2 pi T A) and u(ROCOF) = s sqrt(90 / 3 N) / (2 pi T^2 A) (Cramer and Rao).
    """
    for title, service_class, nominal, share in (
        ("class P, 60 Hz, rated voltage", "P", 60.0, 1.0),
        ("class M, 60 Hz, 10 % voltage", "M", 60.0, 0.1),
    ):
        rate, step = 3200.0, 20.0 / 2**12
        half = 0.5 * CYCLES[service_class] / nominal
        deviation = step * math.sqrt(1 / 4 + 1 / 12) / (share * PEAKS[0]) / math.sqrt(3 * 2 * half * rate)
        name = f"what noise allows, 12 bit, 3200 Hz, {title}"
        report.figure(f"{name}: u(f)", 1e3 * deviation * math.sqrt(6) / (2 * math.pi * half), "mHz")
        report.figure(f"{name}: u(ROCOF)", deviation * math.sqrt(90) / (2 * math.pi * half**2), "Hz/s")


def print_table(title: str, columns: Mapping[str, Worst]) -> None:
    """Print the fractions of all limits, one column for each board or estimator."""
    rows = limited(columns)
    print(f"\n{title}: worst as a fraction of the limit")
    print(f"  {'':<40}" + "".join(f"{name:>18}" for name in columns))
    for row in rows:
        cells = (worst[row].fraction if row in worst else math.nan for worst in columns.values())
        print(f"  {row[0] + ', ' + row[1]:<40}" + "".join(f"{cell:>18.3f}" for cell in cells))


def plot(path: str, tables: Mapping[str, Mapping[str, Worst]]) -> None:
    """Draw one panel of bars for each class: limits downwards, fraction of the limit to the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 10.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Sequence[Any] = figure.subplots(1, len(tables))
    for panel, (title, columns) in zip(panels, tables.items(), strict=True):
        rows = limited(columns)
        places = np.arange(len(rows), dtype=float)
        bars = [name for name in columns if "reference" not in name]
        height = 0.85 / len(bars)
        for name, worst in columns.items():
            values = [worst[row].fraction if row in worst else math.nan for row in rows]
            if name in bars:
                middle = bars.index(name) - 0.5 * (len(bars) - 1)
                colour = COLOURS[bars.index(name)]
                panel.barh(places + middle * height, values, height, label=name, color=colour)
            else:
                panel.plot(values, places, "kx" if "12" in name else "k+", label=f"{name} (annex D)")
        panel.axvline(1.0, color="red", label="limit")
        panel.axvline(0.1, color="grey", linestyle=":", label="a tenth of it")
        panel.set(xscale="log", xlim=(1e-3, 20.0), xlabel="worst, as a fraction of the limit", title=title)
        panel.set_yticks(places, [f"{test}, {measure}" for test, measure in rows])
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.grid(axis="x", alpha=0.3)
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=4, fontsize="small")
    figure.suptitle("IEC/IEEE 60255-118-1 at 50 and 60 Hz: worst of every test")
    figure.savefig(path, dpi=110)


def measured(density: Density) -> Iterable[tuple[str, str, int, Worst, bool]]:
    """Yield class, column, bits and findings of every board and estimator, and whether they are judged."""
    for service_class in CYCLES:
        for bits, rate in BOARDS:
            unit = unit_under_test({"performance_class": service_class})
            board = f"{bits} bit {rate / 1e3:g} kHz"
            yield service_class, board, bits, worst_of(service_class, unit, bits, rate, density), True
        for bits, rate in BOARDS[::3]:
            board = f"reference {bits} bit"
            yield service_class, board, bits, worst_of(service_class, reference, bits, rate, density), False


def main() -> None:
    """Measure everything."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the fractions of the limits as bars")
    options = parser.parse_args()
    density = Density.SOME if options.quick else Density.ALL
    report = Report("synchrophasors", {"numpy": np.__version__, "quick": options.quick})
    tables: dict[str, dict[str, Worst]] = {f"class {name}, {cycles} cycles": {} for name, cycles in CYCLES.items()}
    for service_class, column, bits, worst, judged in measured(density):
        tables[f"class {service_class}, {CYCLES[service_class]} cycles"][column] = worst
        summary(report, f"class {service_class}, {column}", bits, worst, judged=judged)
    four = worst_of("P", unit_under_test({"window": 4}), 12, 6400.0, density)
    tables["class P, 3 cycles"]["4 cycles, 12 bit"] = four
    summary(report, "4 cycles against class P (its latency is not P's), 12 bit 6.4 kHz", 12, four, judged=False)
    latency(report, quick=options.quick)
    noise_floor(report)
    if options.plot:
        plot(options.plot, tables)
    if options.json:
        for title, columns in tables.items():
            for column, worst in columns.items():
                for test, measure in limited(columns):
                    report.figure(f"{title}, {column}: {test}, {measure}", worst[test, measure].fraction, "1")
    else:
        for title, columns in tables.items():
            print_table(title, columns)
        print()
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
