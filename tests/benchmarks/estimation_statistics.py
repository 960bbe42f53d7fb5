"""
Whether the estimator's uncertainties are honest, bad readings are found, and nothing it is given brings it down.

Coverage: how often the truth lies within two standard uncertainties of the estimate, over many draws of readings, of
what is expected of unmetered loads, and of the unbalance of the source; 95.4 % for a normal distribution. Bad data:
how often the bad reading is the first that is named, beside exact least squares with the same test. Random networks:
radial, 2 to 500 nodes, any phases, any meters, some silent, some loads unknown; a failure is an exception, an estimate
that does not converge or is not finite, or a truth more than six of its own standard uncertainties away.

Truth is power-grid-model's or OpenDSS's, never our own power flow; exact least squares: `tests/support/exact_wls.py`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.report import Report, arguments
from tests.support.estimation_trials import bad_reading_trials, coverage, random_failures, trials


def tell_coverage(report: Report, draws: int, named: str, *, large: bool) -> None:
    for trial in trials(large=large):
        if named not in trial.name:
            continue
        found = coverage(trial, draws)
        for key in [key for key in ("|V|", "P", "Q", "|I|") if key in found]:
            share = 100 * found[key]
            report.figure(f"{trial.name}: {key} within 2 sigma, {draws} draws", share, "%", ">= 94")
            report.figure(f"{trial.name}: {key} within 2 sigma, not too wide", share, "%", "<= 97")
        report.figure(f"{trial.name}: |V| of the node where least", 100 * found["least"], "%")
        report.figure(f"{trial.name}: |V| of the node where most", 100 * found["most"], "%")
        report.figure(f"{trial.name}: estimates that did not converge", found["failed"], "1", "== 0")


def tell_bad_data(report: Report, draws: int) -> None:
    for kind, found in bad_reading_trials(draws).items():
        n = found.draws
        report.figure(f"{kind}: found first by exact least squares", 100 * found.exact / n, "%")
        report.figure(f"{kind}: found first by ours", 100 * found.ours / n, "%")
        report.figure(f"{kind}: ours less exact", 100 * (found.ours - found.exact) / n, "%", ">= -2")
        report.figure(f"{kind}: named by ours, alternatives included", 100 * found.alternative / n, "%")
        report.figure(f"{kind}: chi squared alarm of exact least squares", 100 * found.exact_alarms / n, "%")


def main() -> None:
    parser = arguments("Coverage, bad data and random networks of the state estimator")
    parser.add_argument("--only", default="", help="coverage, bad or random")
    parser.add_argument("--named", default="", help="coverage of networks whose name holds this text only")
    parser.add_argument("--networks", type=int, default=0, help="random networks")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    options = parser.parse_args()
    report = Report("State estimation: statistics", {"threads": 1})
    quick = options.quick
    if options.only in {"", "coverage"}:
        tell_coverage(report, 200 if quick else 3000, options.named, large=not quick)
    if options.only in {"", "bad"}:
        tell_bad_data(report, 20 if quick else 300)
    if options.only in {"", "random"}:
        count = options.networks or (150 if quick else 10_000)
        failed = 0
        for seed in range(options.first, options.first + count):
            for failure in random_failures([seed]):
                failed += 1
                print(f"seed {seed}, {failure.nodes} nodes: {failure.what}", file=sys.stderr, flush=True)
        report.figure(f"{count} random radial networks, 2 to 500 nodes: failures", failed, "1", "== 0")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
