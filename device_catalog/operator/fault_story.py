"""
A fault in words and as a picture: what is known of it, what was said in which order, and where it is.

Where it stands: ``tresma faults`` shows what these functions make of a `FaultDetail`. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_operation import SwitchState
from algorithms.api.wire import NANOSECONDS, time_from_text
from device_catalog.contract.faults import (
    NOT_REPAIRED,
    REPAIRED,
    RESTORATION,
    FaultDetail,
    FaultNews,
    FaultSummary,
)
from device_catalog.network_diagram.canvas import Canvas, Circle, Style, Text, text_width
from device_catalog.network_diagram.diagram import draw
from device_catalog.network_diagram.overlay import Mark, MarkKind, Overlay

LISTED = 20
"""Names that one line gives at most."""
_margin, _row, _caption = 24.0, 22.0, 12.5
_repairs = {REPAIRED: "repaired", NOT_REPAIRED: "not repaired after all"}
_colours = {"fault": "#d4141e", "switch": "#1f5fa8", "end": "#1e7d34"}


class Moment(NamedTuple):
    """One line of a timeline: seconds from the beginning, what kind it is, and what happened."""

    at: float
    kind: str
    words: str


def place_of(summary: FaultSummary) -> str:
    """
    Say where a fault is.

    >>> place_of(FaultSummary("f", "n", "t", "m", "2026-11-21T07:20:18Z", "fault-located", branch="cable-1",
    ...     from_node="bus", distance=420.04, distance_uncertainty=2.0))
    'cable-1, 420.0 m ± 4.0 m from bus'
    """
    if not summary.branch:
        return "not known"
    if summary.distance is None:
        return summary.branch
    band = "" if summary.distance_uncertainty is None else f" ± {2 * summary.distance_uncertainty:.1f} m"
    return f"{summary.branch}, {summary.distance:.1f} m{band} from {summary.from_node}"


def sort_of(summary: FaultSummary) -> str:
    """Say what kind of fault it is: its type and phases."""
    name = summary.type or {"earth-fault": "earth fault"}.get(summary.kind, "")
    return f"{name} {''.join(summary.phases)}".strip()


def timeline(detail: FaultDetail) -> list[Moment]:
    """Tell what happened, in its order, counted from the beginning of the fault."""
    origin = time_from_text(detail.summary.start)

    def since(text: str) -> float:
        return (time_from_text(text) - origin) / NANOSECONDS

    found: list[Moment] = []
    starts: set[str] = set()
    for word in detail.news:
        if word.kind == RESTORATION:
            found += [Moment(since(step["time"]), "switch", _step(step)) for step in _steps(word) if "time" in step]
            outcome = str(word.evidence.get("outcome", ""))
            reason = str(word.evidence.get("reason", ""))
            words = f"{word.device}: {outcome}" + (f" ({reason})" if reason else "")
            found.append(Moment(since(word.end or word.time), "end", words))
            continue
        if word.kind in _repairs:
            noted = str(word.evidence.get("note") or "")
            words = f"{word.device}: {_repairs[word.kind]}" + (f" ({noted})" if noted else "")
            found.append(Moment(since(word.time), "end", words))
            continue
        if word.start not in starts:
            found.append(Moment(since(word.start), "fault", "current again" if starts else "the fault begins"))
            starts.add(word.start)
        found.append(Moment(since(word.time), "fault", f"{word.device}: {_told(word)}"))
    return sorted(found, key=lambda moment: moment.at)


def lines_of(detail: FaultDetail) -> list[str]:
    """Say everything that is known of a fault."""
    summary = detail.summary
    said = [f"{summary.id}: {sort_of(summary) or summary.kind}, in {summary.network}, {summary.start}"]
    said.append(f"  place         {place_of(summary)}")
    best = next((word for word in reversed(detail.news) if word.evidence.get("distance") == summary.distance), None)
    said += [f"  {name:<13} {words}" for name, words in _evidence(summary, best.evidence if best else {})]
    outcomes = [word for word in detail.news if word.kind == RESTORATION]
    if not outcomes:
        said.append("  outcome       none told yet")
    for word in outcomes[-1:]:
        said += [f"  {name:<13} {words}" for name, words in _outcome(summary, word.evidence)]
    if summary.repaired:
        said.append(f"  repaired      {summary.repaired[:19]}Z by {summary.repaired_by}")
    else:
        said.append("  repaired      nobody has said so")
    said += [
        f"  recording     {entry.info.device}/{entry.info.id}, {entry.info.kind}, {entry.state}"
        for entry in detail.recordings
    ]
    return [*said, "  timeline", *(f"    {_after(moment.at):>11}  {moment.words}" for moment in timeline(detail))]


def picture(detail: FaultDetail, document: NetworkDocument) -> Canvas:
    """
    Draw a fault: the network as it stands after the restoration, the place, the steps, and the timeline below.

    Parameters
    ----------
    detail : FaultDetail
    document : NetworkDocument
        Of the fault's network.
    """
    summary = detail.summary
    steps = [step for word in detail.news if word.kind == RESTORATION for step in _steps(word)]
    marks = [Mark(str(step["switch"]), MarkKind.STEP, text=str(number)) for number, step in enumerate(steps, start=1)]
    if summary.branch:
        extent = 2.0 * (summary.distance_uncertainty or 0.0)
        label = "" if summary.distance is None else f"{summary.distance:.0f} m from {summary.from_node}"
        marks.append(Mark(summary.branch, MarkKind.FAULT, summary.distance, label, extent))
    others = {
        str(one["branch"]): one.get("distance")
        for word in detail.news
        for one in word.evidence.get("alternatives") or ()
        if isinstance(one, dict) and one.get("branch") and one["branch"] != summary.branch
    }
    marks += [Mark(name, MarkKind.NOTE, distance, "or here") for name, distance in others.items()]
    states = {str(step["switch"]): _positions[str(step["verb"])] for step in steps if step["verb"] in _positions}
    words = [sort_of(summary) or summary.kind, summary.start[:19].replace("T", " ") + " UTC", place_of(summary)]
    if summary.outcome:
        words.append(summary.outcome)
    if summary.repaired:
        words.append(f"repaired {summary.repaired[:16].replace('T', ' ')} by {summary.repaired_by}")
    caption = "; ".join(words)
    canvas = draw(document, Overlay(marks=tuple(marks), switches=states, caption=caption))
    canvas.width = max(canvas.width, 2 * _margin + text_width(caption, _caption))
    _write_timeline(canvas, timeline(detail))
    return canvas


_positions: Mapping[str, SwitchState] = {"open": SwitchState.OPEN, "close": SwitchState.CLOSED}


def _write_timeline(canvas: Canvas, moments: list[Moment]) -> None:
    top = canvas.height + _row
    canvas.add(Text((_margin, top), "Timeline", 14, bold=True), layer=9)
    first, last = top + _row, top + _row * len(moments)
    axis = _margin + 78
    canvas.line([(axis, first - 5), (axis, last - 5)], Style(stroke="#999999"), layer=8)
    for number, moment in enumerate(moments):
        y = first + number * _row
        colour = _colours[moment.kind]
        canvas.add(Circle((axis, y - 4), 4.5, Style(stroke=colour, fill=colour)), layer=9)
        canvas.add(Text((axis - 12, y), _after(moment.at), 11.5, anchor="end", halo=False), layer=9)
        canvas.add(Text((axis + 14, y), moment.words, 11.5, colour, halo=False), layer=9)
        canvas.width = max(canvas.width, axis + 40 + text_width(moment.words, 11.5))
    canvas.height = last + _row


def _after(seconds: float) -> str:
    """
    Write a time after the beginning.

    >>> _after(0.25), _after(3600.0), _after(260_000.0)
    ('0.250 s', '60.0 min', '3.0 d')
    """
    if seconds < 1000.0:
        return f"{seconds:.3f} s"
    if seconds < 7200.0:
        return f"{seconds / 60.0:.1f} min"
    return f"{seconds / 3600.0:.1f} h" if seconds < 172_800.0 else f"{seconds / 86_400.0:.1f} d"


def _told(word: FaultNews) -> str:
    evidence = word.evidence
    if isinstance(evidence.get("distance"), int | float) and evidence.get("branch"):
        spread = evidence.get("distance_uncertainty")
        band = f" ± {2 * spread:.1f} m" if isinstance(spread, int | float) else ""
        return f"located on {evidence['branch']}, {evidence['distance']:.1f} m{band} from {evidence.get('from_node')}"
    reason = evidence.get("reason")
    return word.kind + (f": {reason}" if isinstance(reason, str) and reason else "")


def _steps(word: FaultNews) -> list[dict[str, Any]]:
    steps = word.evidence.get("steps")
    known = steps if isinstance(steps, list) else []
    return [step for step in known if isinstance(step, dict) and {"switch", "verb"} <= step.keys()]


def _step(step: Mapping[str, Any]) -> str:
    return f"{step['switch']} {'is open' if step['verb'] == 'open' else 'is closed'}"


def _evidence(summary: FaultSummary, evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in evidence.get("alternatives") or ():
        if isinstance(one, dict) and isinstance(one.get("distance"), int | float):
            spread = one.get("distance_uncertainty")
            band = f" ± {2 * spread:.1f} m" if isinstance(spread, int | float) else ""
            yield "or", f"{one.get('branch')}, {one['distance']:.1f} m{band} from {one.get('from_node')}"
    if summary.resistance is not None:
        yield "resistance", f"{summary.resistance:.2f} ohm"
    doubts = _names(evidence.get("doubts"))
    yield "trusted", "yes" if summary.trusted else f"no{f': {doubts}' if doubts else ''}"
    for name in ("meters", "suspects"):
        if _names(evidence.get(name)):
            yield name, _names(evidence.get(name))
    missing = evidence.get("missing")
    if isinstance(missing, dict) and missing:
        yield "missing", ", ".join(f"{name} ({why})" for name, why in list(missing.items())[:LISTED])
    current = evidence.get("current")
    if isinstance(current, int | float):
        yield "current", f"{current:.0f} A"


def _outcome(summary: FaultSummary, evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    after = "" if summary.minutes is None else f" after {summary.minutes:.2f} min"
    reason = str(evidence.get("reason") or "")
    yield "outcome", f"{summary.outcome}{after}{f': {reason}' if reason else ''}"
    yield "customers", f"{summary.restored_customers} supplied again, {summary.unserved_customers} dark"
    unserved = evidence.get("unserved")
    if isinstance(unserved, dict):
        for node, why in list(unserved.items())[:LISTED]:
            yield "dark", f"{node}: {why}"
    failed = evidence.get("failed")
    if isinstance(failed, dict) and failed:
        yield "failed", ", ".join(f"{name} ({why})" for name, why in list(failed.items())[:LISTED])


def _names(value: Any) -> str:
    return ", ".join(str(one) for one in value[:LISTED]) if isinstance(value, list) else ""
