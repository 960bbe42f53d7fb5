"""
What a device says of itself to the catalog, and when it is worth saying. Pure.

Counters move all the time; a report is sent when something an operator would act on changes, and otherwise every
quarter of an hour, so that the counters are never older than that. What an algorithm's process says of itself is
believed only as far as it can be (`plausible`).
"""

import math

import msgspec

from agent.processes.algorithm_messages import AlgorithmStatus
from device_catalog.contract.reports import AlgorithmReport, LinkReport, Reported, ShadowReport, SourceReport

REFRESH = 900.0
"""Age at which a report is repeated for its counters [s]."""


SETTLE = 2.0
"""Shortest time between two reports, so that a restart is one report and not five [s]."""

RETRY = 30.0
"""How long a report that did not arrive waits [s]; the next poll may bring it sooner."""


MOST = 2**63 - 1
"""Counters stay below what every reader of a report can hold."""


class ReportGate:
    """Decides which reports are sent; `sent` is called when one arrived."""

    def __init__(self) -> None:
        self._last: Reported | None = None
        self._when = 0.0
        self._not_before = 0.0
        self._postponed = False

    def due(self, report: Reported, now: float) -> bool:
        """Tell whether `report` is worth sending at monotonic time `now` [s]."""
        if now < self._not_before:
            return False
        if self._last is None or now - self._when >= REFRESH:
            return True
        return _significant(report) != _significant(self._last)

    def sent(self, report: Reported, now: float) -> None:
        """Note that the catalog has `report`."""
        self._last = report
        self._when = now
        self._not_before = now + SETTLE

    def reachable(self) -> None:
        """Note that the catalog answers again: what could not be said need not wait longer."""
        if self._postponed:
            self._not_before = 0.0
            self._postponed = False

    def postpone(self, now: float) -> None:
        """Note that a report did not arrive."""
        self._not_before = now + RETRY
        self._postponed = True


def _significant_of_shadow(shadow: ShadowReport) -> ShadowReport:
    """Let what was compared count where it doubled: who decides by it need not wait for the quarter of an hour."""
    counts = {name: getattr(shadow, name).bit_length() for name in ("compared", "differing", "missing", "extra")}
    return ShadowReport(shadow.version, shadow.state, **counts, restarts=shadow.restarts, last_error=shadow.last_error)


def _significant(report: Reported) -> Reported:
    """Leave out what only counts."""
    replace = msgspec.structs.replace
    algorithms = {
        name: AlgorithmReport(
            one.version,
            one.state,
            restarts=one.restarts,
            last_error=one.last_error,
            update=one.update,
            shadow=one.shadow and _significant_of_shadow(one.shadow),
        )
        for name, one in report.algorithms.items()
    }
    links = {
        name: LinkReport(one.connected, one.endpoint, dropped=one.dropped, refused=one.refused)
        for name, one in report.links.items()
    }
    source = report.source and SourceReport(
        report.source.driver,
        report.source.state,
        sample_rate=report.source.sample_rate,
        restarts=report.source.restarts,
        last_error=report.source.last_error,
    )
    time = report.time and replace(report.time, uncertainty=None)
    recordings = report.recordings and replace(report.recordings, state="", skipped=0)
    trust = replace(report.trust, refused_orders=0)
    image = report.image and replace(report.image, downloaded=round(report.image.downloaded, 1))
    told = replace(report, algorithms=algorithms, links=links, source=source, time=time)
    return replace(told, recordings=recordings, trust=trust, image=image)


def plausible(status: AlgorithmStatus) -> AlgorithmStatus:
    """
    Put 0 for every number that cannot be: a process says what it likes, and one report holds all of a device.

    Examples
    --------
    >>> plausible(AlgorithmStatus(processed=3, dropped=-1, processor=float("nan"))).processor
    0.0
    """
    numbers = msgspec.structs.asdict(status)
    odd = {name: type(value)(0) for name, value in numbers.items() if not (math.isfinite(value) and 0 <= value <= MOST)}
    return msgspec.structs.replace(status, **odd) if odd else status
