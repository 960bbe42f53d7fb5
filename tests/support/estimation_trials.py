"""
Trials of the estimator: coverage of its uncertainties, bad readings, random networks; the truth is another engine's.

Where it stands: `benchmarks/estimation_statistics.py` runs them at length, `cases/state_estimation` briefly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from scipy.stats import chi2, norm

from algorithms.api.network import NetworkModel
from algorithms.api.network_reader import parse
from algorithms.grid.estimation.bad_data import examine
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import Measurement, Quantity
from tests.support.exact_circuit import Circuit
from tests.support.exact_rows import measured
from tests.support.exact_wls import ExactWls
from tests.support.metering import (
    Metering,
    Wanted,
    at_customers,
    flows_at,
    metered,
    plain_transformers,
    unbalanced_truths,
    voltages_at,
)
from tests.support.random_metering import Case, bearable, random_case
from tests.support.random_networks import four_wire_document, random_document
from tests.support.reference_grids import cigre_mv, european_lv, european_lv_contracted, synthetic_lv

FARTHEST = 6.0
"""Standard uncertainties that a truth may be away from its estimate in a random network."""
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Trial:
    """
    A network and its meters, tried by drawing again and again.

    Attributes
    ----------
    flows : tuple
        Branches whose current is watched.
    below : str
        Node at whose voltage level |V| is judged.
    unbalanced : bool
        Whether the source's unbalance is drawn too; only where power-grid-model knows the network.
    """

    name: str
    model: NetworkModel
    metering: Metering
    flows: tuple[str, ...]
    below: str
    unbalanced: bool = True


def _trial(name: str, document: Any, *, skipped: float = 0.2, unbalanced: bool = True, powers: bool = True) -> Trial:
    """Put a meter of its own phases at most customers, and one at the head."""
    model, truth = bearable(plain_transformers(parse(document)))
    pick = Random(3)
    loads = [*model.loads.ids, *model.generators.ids]
    without = pick.sample(loads, round(skipped * len(loads)))
    head = int(model.transformers.to_node[0]) if len(model.transformers) else int(model.sources.node[0])
    wanted: list[Wanted] = [*at_customers(model, without=without), *voltages_at(model, model.nodes.ids[head])]
    if powers and len(model.transformers):
        wanted += flows_at(model, model.transformers.ids[0], 1)
    circuit = Circuit(model)
    carrying = []
    for line in model.branches.ids:
        forms = [Measurement(line, Quantity.CURRENT, line, phase, 1.0) for _, _, phase, _ in flows_at(model, line)[::2]]
        if measured(circuit, forms, truth.voltages, truth.power).min() > 0.1:
            carrying.append(line)  # |I| of an idle phase is no reading to linearise
    watched = tuple(pick.sample(carrying, min(4, len(carrying))))
    if watched:
        wanted += flows_at(model, watched[0], 0, (Quantity.CURRENT,))
    return Trial(name, model, metered(model, truth, wanted), watched, model.nodes.ids[head], unbalanced)


def star_trial() -> Trial:
    """Give a street cabinet with twelve customers on their service cables: the area of a concentrator."""
    document = {
        "schema": "network/1",
        "network": "cabinet",
        "revision": 1,
        "nodes": [{"id": name, "phases": "ABC", "base_voltage": 400.0} for name in ("cabinet", *"abcdefghijkl")],
        "sources": [
            {"id": "grid", "node": "cabinet", "voltage": 231.0, "r1": 0.08, "x1": 0.04, "r0": 0.16, "x0": 0.08}
        ],
        "branches": [
            {"id": f"service-{name}", "from_node": "cabinet", "to_node": name, "length": 20.0, "phases": "ABC"}
            | {"sequence": {"r1": 0.017, "x1": 0.0016, "r0": 0.05, "x0": 0.004}}
            for name in "abcdefghijkl"
        ],
        "loads": [
            {
                "id": f"customer-{name}",
                "node": name,
                "p": {phase: 300.0 + 140.0 * number},
                "q": {phase: 90.0 + 9 * number},
            }
            for number, (name, phase) in enumerate(zip("abcdefghijkl", "ABCABCABCABC", strict=True))
        ],
    }
    return _trial("concentrator, 12 customers", document)


def trials(*, large: bool = True) -> Iterator[Trial]:
    """Give networks of every level."""
    yield star_trial()
    yield _trial("European LV contracted, 205", european_lv_contracted())
    if large:
        yield _trial("European LV, 906", european_lv())
        yield _trial("synthetic LV, 1,000", synthetic_lv(1000, metering="single-phase"))
    yield _trial("CIGRE MV, 13", cigre_mv())
    yield _trial("meshed MV and LV, 60", random_document(5, 60, meshed=True, exponents=False))
    yield four_wire_trial()


def four_wire_trial() -> Trial:
    """Give a four-wire network with single-phase laterals, by OpenDSS."""
    document = four_wire_document(3, 50)
    for load in [*document["loads"], *document.get("generators", [])]:
        load["p_exponent"] = load["q_exponent"] = 0.0
    return _trial("four-wire LV, 50", document, unbalanced=False)


def coverage(trial: Trial, draws: int, seed: int = 1) -> dict[str, Any]:
    """
    Tell how often the truth lies within two standard uncertainties.

    Returns
    -------
    dict
        Share for ``|V|``, ``P``, ``Q`` and ``|I|``; for ``|V|`` also of the node where it is least and most (``least``,
        ``most``); ``failed``: estimates that did not converge.
    """
    model, metering = trial.model, trial.metering
    rng = np.random.default_rng(seed)
    circuit = Circuit(model)
    power = metering.truth.power
    if trial.unbalanced:
        voltages = unbalanced_truths(model, power, rng, draws)
        readings = measured(circuit, metering.measurements, voltages, np.broadcast_to(power, (draws, *power.shape)))
    else:
        voltages = np.broadcast_to(metering.truth.voltages, (draws, *metering.truth.voltages.shape))
        readings = np.broadcast_to(metering.values, (draws, len(metering.values)))
    watched = [one for name in trial.flows for one in flows_at(model, name, 0, (Quantity.CURRENT,))]
    watched_metering = metered(model, metering.truth, watched)
    currents = measured(circuit, watched_metering.measurements, voltages, np.broadcast_to(power, (draws, *power.shape)))
    readings = readings + metering.accuracy.errors(rng, metering.sigma, draws)
    priors = metering.draw_priors(rng, draws)
    neutral = np.where(model.nodes.conductors[:, 3:], voltages[:, :, 3:], 0.0)
    true = np.abs(voltages[:, :, :3] - neutral)
    at = model.nodes.conductors[:, :3].copy()
    at &= (model.nodes.base_voltage == model.nodes.base_voltage[model.nodes.rows[trial.below]])[:, np.newaxis]
    own = Estimator(model, metering.measurements)
    inside: dict[str, list[Any]] = {"|V|": [], "P": [], "Q": [], "|I|": []}
    failed = 0
    for draw in range(draws):
        found = own.estimate(readings[draw], prior=priors[draw], u_prior=metering.u_prior)
        if not found.converged:
            failed += 1
            continue
        error = np.abs(found.phase_voltages) - true[draw]
        inside["|V|"].append(np.abs(error[at]) <= 2 * found.u_magnitude[at])
        off, sigma = found.power - power, found.u_power
        drawn = sigma.real > 0
        inside["P"].append(np.abs(off.real[drawn]) <= 2 * sigma.real[drawn])
        inside["Q"].append(np.abs(off.imag[drawn]) <= 2 * sigma.imag[drawn])
        if not trial.flows:
            continue
        flows = [found.flow(name) for name in trial.flows]
        current, u_current = (
            np.concatenate([getattr(flow, part) for flow in flows]) for part in ("current", "u_current")
        )
        inside["|I|"].append(np.abs(current - currents[draw]) <= 2 * u_current + 1e-6)
    shares: dict[str, Any] = {key: float(np.mean(one)) for key, one in inside.items() if one}
    each = np.mean(inside["|V|"], axis=0)
    return {**shares, "least": float(each.min()), "most": float(each.max()), "failed": failed}


BAD = ("5 sigma of a voltage", "10 sigma of a voltage", "P of a customer turned round", "kW for W", "W for kW")


@dataclass
class Found:
    """How often a bad reading was the first that was named, or named at all."""

    draws: int = 0
    ours: int = 0
    exact: int = 0
    both: int = 0
    alternative: int = 0
    alarms: int = 0
    exact_alarms: int = 0


def bad_reading_trials(draws: int, seed: int = 1, kinds: Sequence[str] = BAD) -> dict[str, Found]:
    """Spoil one reading of the contracted European feeder at a time; a meter at the transformer gives redundancy."""
    model, truth = bearable(plain_transformers(parse(european_lv_contracted())))
    head = model.nodes.ids[int(model.transformers.to_node[0])]
    wanted = [*at_customers(model), *voltages_at(model, head), *flows_at(model, model.transformers.ids[0], 1)]
    metering = metered(model, truth, wanted)
    own, judge = Estimator(model, metering.measurements), ExactWls(model, metering.measurements)
    rng = np.random.default_rng(seed)
    quantity = np.array([one.quantity for one in metering.measurements], dtype=object)
    customers = np.array([one.place in model.loads.rows for one in metering.measurements])
    voltages = np.flatnonzero(quantity == Quantity.VOLTAGE)
    powers = np.flatnonzero((quantity == Quantity.P) & customers & (np.abs(metering.values) > 1000.0))
    table = {kind: Found() for kind in kinds}
    for kind, found in table.items():
        scans, priors = metering.draw(rng, draws), metering.draw_priors(rng, draws)
        for values, prior in zip(scans, priors, strict=True):
            bad = int(rng.choice(voltages if "voltage" in kind else powers))
            values[bad] = _spoilt(kind, values[bad], metering.sigma[bad], rng)
            _judge_one(found, own, judge, metering, values, prior, bad)
    return table


def _spoilt(kind: str, value: float, sigma: float, rng: np.random.Generator) -> float:
    if "voltage" in kind:
        return value + float(kind.split(maxsplit=1)[0]) * sigma * rng.choice([-1.0, 1.0])
    return {"P of a customer turned round": -value, "kW for W": value / 1000.0, "W for kW": value * 1000.0}[kind]


def _judge_one(  # noqa: PLR0917 - one trial
    found: Found, own: Estimator, judge: ExactWls, metering: Metering, values: Any, prior: Any, bad: int
) -> None:
    name = metering.measurements[bad].id
    examined = examine(own, values, prior=prior, u_prior=metering.u_prior)
    ours = bool(examined.suspects) and examined.suspects[0].measurement == name
    named = {other for one in examined.suspects for other in (one.measurement, *one.alternatives)}
    try:
        exact = judge.estimate(
            values,
            prior=prior,
            u_prior=metering.u_prior,
            start=(metering.truth.voltages, metering.truth.power),
            iterations=15,
        )
        alarm = exact.objective > chi2.ppf(CONFIDENCE, exact.degrees_of_freedom)
        normalised = np.abs(np.nan_to_num(exact.normalised))
        largest = int(normalised.argmax())
        judged = np.count_nonzero(normalised)
        limit = 3.0 if alarm else norm.ppf(1 - (1 - CONFIDENCE) / (2 * judged))
        theirs = largest == bad and normalised[largest] > limit
    except ArithmeticError:
        theirs, alarm = False, True  # exact least squares find no state at all
    found.draws += 1
    found.ours += ours
    found.exact += theirs
    found.both += ours and theirs
    found.alternative += name in named
    found.alarms += bool(examined.suspects)
    found.exact_alarms += bool(alarm)


@dataclass(frozen=True)
class Failure:
    """What went wrong in one random network."""

    seed: int
    nodes: int
    what: str


def random_failures(seeds: Sequence[int], *, largest: int = 500) -> list[Failure]:
    """Estimate random networks; tell of every exception, non-convergence, value that is none, and wrong certainty."""
    failures = []
    for seed in seeds:
        case = random_case(seed, largest=largest)
        what = judge_case(case)
        if what:
            failures.append(Failure(seed, len(case.model.nodes), what))
    return failures


def judge_case(case: Case) -> str:
    """Say what is wrong with the estimate of a random network; nothing where it is right."""
    try:
        found = Estimator(case.model, case.metering.measurements).estimate(
            case.values, prior=case.prior, u_prior=case.u_prior
        )
        sigma = found.u_magnitude
        powers, u_powers = found.power, found.u_power
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure to be told
        return f"{type(error).__name__}: {error}"
    if not found.converged:
        return found.reason
    if not all(np.isfinite(one).all() for one in (found.voltages, sigma, powers, u_powers)):
        return "a value that is not finite"
    at = case.model.nodes.conductors[:, :3]
    neutral = np.where(case.model.nodes.conductors[:, 3:], case.truth.voltages[:, 3:], 0.0)
    true = np.abs(case.truth.voltages[:, :3] - neutral)
    floor = 1e-7 * np.broadcast_to(case.model.nodes.nominal_voltage[:, np.newaxis], sigma.shape)
    away = np.abs(np.abs(found.phase_voltages) - true)[at] / np.maximum(sigma, floor)[at]
    if away.max() > FARTHEST:
        return f"|V| {away.max():.1f} of its own standard uncertainties from the truth"
    return ""
