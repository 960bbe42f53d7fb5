"""
A week of voltage quality as one HTML page that needs nothing else: verdicts, pictures, events, what was not measured.

Last room of ``tresma report``: text only, from what `report_limits` judged and `report_plots` drew. Everything that
comes from messages is escaped.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from device_catalog.operator import report_limits as limits
from device_catalog.operator.report_data import NANOSECONDS, Collected, Happening

MOST_EVENTS = 200
"""Events listed one by one."""

_style = """
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:#1c2733;background:#eef1f4;margin:0}
main{max-width:1080px;margin:0 auto;padding:28px 36px 60px;background:#fff}
h1{font-size:25px;margin:0 0 2px}h2{font-size:18px;margin:34px 0 8px;border-bottom:1px solid #d5dbe1;padding-bottom:3px}
p.sub{color:#5a6875;margin:0 0 16px}.cards{display:flex;gap:14px;flex-wrap:wrap;margin:16px 0}
.card{border:1px solid #d5dbe1;border-radius:8px;padding:9px 16px;min-width:120px}.card b{display:block;font-size:22px}
.card>span{color:#5a6875;font-size:13px}table{border-collapse:collapse;width:100%;font-size:13.5px;margin:6px 0}
th,td{text-align:left;padding:4px 9px;border-bottom:1px solid #e4e8ec;vertical-align:top}th{background:#f4f6f8}
.n{text-align:right;font-variant-numeric:tabular-nums}.met{color:#14713c;font-weight:600}
.not{color:#b3261e;font-weight:600}.none{color:#7a8794}svg{width:100%;height:auto}
.note{background:#fff6e0;border-left:4px solid #e0a100;padding:8px 14px;margin:12px 0}
figcaption{color:#5a6875;font-size:13px}figure{margin:8px 0 18px}tr.hit td{background:#fff6e0}
@media print{body{background:#fff}main{padding:0}h2{break-after:avoid}figure{break-inside:avoid}}
"""

_captions = {
    "voltage": "RMS of ten minutes; dashed: ±10 % of the declared voltage; shaded: flagged by an event or bad samples.",
    "frequency": "Frequency of ten seconds; dashed: ±1 %.",
    "flicker": "Thin: Pst of ten minutes; thick: Plt of two hours; dashed: the limit of Plt.",
    "distortion": "Total harmonic distortion to order 40 and unbalance u2 of ten minutes; dashed: limits.",
    "harmonics": "Harmonics that are not exceeded in 95 % of the ten minutes; black: limits.",
    "events": "Each dip, swell and interruption; grey: what equipment should bear (ITIC, 2000).",
}
_headings = {
    "voltage": "Voltage",
    "frequency": "Frequency",
    "flicker": "Flicker",
    "distortion": "Distortion and unbalance",
    "harmonics": "Harmonics",
    "events": "Dips, swells and interruptions",
}


def page(week: Collected, begin_ns: int, end_ns: int, pictures: Mapping[str, str], unreadable: int = 0) -> str:
    """
    Write the page.

    Parameters
    ----------
    week : Collected
        Of [begin, end).
    begin_ns, end_ns : int
        [ns UTC]
    pictures : mapping
        SVG elements by name, as `report_plots.pictures` gives them.
    unreadable : int
        Lines of the input that could not be read.
    """
    verdicts = limits.judge(week)
    happenings = sorted(week.happenings.values(), key=lambda one: one.start_ns)
    title = f"Voltage quality of {_text(week.device)}"
    period = f"{_day(begin_ns)} to {_day(end_ns)} (UTC) · EN 50160, low voltage · declared voltage {_declared(week)}"
    parts = [
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title>",
        f'<meta name=viewport content="width=device-width,initial-scale=1"><style>{_style}</style></head><body><main>',
        f"<h1>{title}</h1><p class=sub>{period}</p>",
        _cards(week, verdicts, happenings, begin_ns, end_ns),
        _notes(week, begin_ns, end_ns, unreadable),
        _verdict_table(verdicts),
    ]
    for name, heading in _headings.items():
        figure = pictures.get(name)
        if name == "events":
            parts += [f"<h2>{heading}</h2>", _event_tables(happenings)]
        elif figure:
            parts.append(f"<h2>{heading}</h2>")
        if figure:
            parts.append(f"<figure>{figure}<figcaption>{_captions[name]}</figcaption></figure>")
    parts += [_event_list(happenings), _method(), "</main></body></html>"]
    return "\n".join(parts)


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _moment(time_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)


def _day(time_ns: int) -> str:
    return f"{_moment(time_ns):%Y-%m-%d %H:%M}"


def _declared(week: Collected) -> str:
    voltages = sorted({one.declared_voltage for one in week.ten.values()})
    return " and ".join(f"{voltage:g} V" for voltage in voltages) or "unknown"


def _cards(
    week: Collected, verdicts: Sequence[limits.Verdict], happenings: Sequence[Happening], begin_ns: int, end_ns: int
) -> str:
    missed = sum(one.met is False for one in verdicts)
    unknown = sum(one.met is None for one in verdicts)
    whole, partly, absent = limits.coverage(week, begin_ns, end_ns)
    result = "not met" if missed else "met" if not unknown else "met as far as measured"
    share = 100.0 * whole / max(1, whole + partly + absent)
    dips = sum(one.kind == "voltage-dip" and not one.interrupted for one in happenings)
    cards = (
        (f"<span class={'not' if missed else 'met'}>{result}</span>", f"{missed} of {len(verdicts)} criteria missed"),
        (f"{share:.1f} %", f"of the week measured whole ({whole} of {whole + partly + absent} x 10 min)"),
        (str(dips), "dips"),
        (str(sum(one.kind == "voltage-swell" for one in happenings)), "swells"),
        (str(sum(one.kind == "interruption" for one in happenings)), "interruptions"),
        (str(sum(one.kind == "rapid-voltage-change" for one in happenings)), "rapid changes"),
    )
    return (
        "<div class=cards>" + "".join(f"<div class=card><b>{a}</b><span>{b}</span></div>" for a, b in cards) + "</div>"
    )


def _notes(week: Collected, begin_ns: int, end_ns: int, unreadable: int) -> str:
    whole, partly, absent = limits.coverage(week, begin_ns, end_ns)
    notes = []
    if absent or partly:
        reasons: dict[str, int] = {}
        for one in week.ten.values():
            for flag in one.flagged:
                reasons[flag] = reasons.get(flag, 0) + 1
        missing = sum(one.missing > 0.25 for one in week.ten.values())
        because = [f"{flag}: {count}" for flag, count in sorted(reasons.items())]
        because += [f"samples missing: {missing}"] if missing else []
        text = f"Of {whole + partly + absent} ten minutes, {whole} count"
        text += (
            f"; {partly} are flagged or incomplete and left out ({', '.join(because) or 'incomplete'})"
            if partly
            else ""
        )
        notes.append(text + (f"; {absent} are not there at all." if absent else "."))
    not_measured = sorted({text for one in week.ten.values() for text in one.not_measured})
    if not_measured:
        notes.append("Not measured: " + "; ".join(_text(text) for text in not_measured) + ".")
    if unreadable:
        notes.append(f"{unreadable} lines of the input could not be read.")
    return "".join(f"<p class=note>{note}</p>" for note in notes)


def _verdict_table(verdicts: Sequence[limits.Verdict]) -> str:
    words = {True: ("met", "met"), False: ("not", "not met"), None: ("none", "not measured")}
    rows = [
        f"<tr><td>{one.name}</td><td>{one.limit}</td><td>{one.found or '-'}</td><td class=n>{one.counted or '-'}</td>"
        f"<td class={words[one.met][0]}>{words[one.met][1]}</td></tr>"
        for one in verdicts
    ]
    head = "<tr><th>Criterion<th>Limit<th>Found, by phase<th class=n>Values<th>Verdict</tr>"
    return f"<h2>Verdicts</h2><table>{head}{''.join(rows)}</table>"


def _event_tables(happenings: Sequence[Happening]) -> str:
    dips = _counts("Residual voltage [%]", limits.DIP_ROWS, limits.DIP_COLUMNS, limits.dip_table(happenings))
    swells = _counts("Highest voltage [%]", limits.SWELL_ROWS, limits.SWELL_COLUMNS, limits.swell_table(happenings))
    durations = [one.duration for one in happenings if one.kind == "interruption"]
    short = sum(duration <= limits.SHORT_INTERRUPTION for duration in durations)
    text = f"<p>Interruptions: {short} of up to 3 minutes, {len(durations) - short} longer.</p>"
    return dips + swells + text


def _counts(
    title: str, rows: Iterable[Sequence[object]], columns: Iterable[tuple[float, str]], table: list[list[int]]
) -> str:
    head = f"<tr><th>{title}" + "".join(f"<th class=n>{text}" for _, text in columns) + "</tr>"
    body = "".join(
        f"<tr><td>{_text(row[-1])}</td>" + "".join(f"<td class=n>{count or '·'}</td>" for count in counts) + "</tr>"
        for row, counts in zip(rows, table, strict=True)
    )
    return f"<table>{head}{body}</table>"


def _event_list(happenings: Sequence[Happening]) -> str:
    if not happenings:
        return "<p>No event.</p>"
    rows = []
    for one in happenings[:MOST_EVENTS]:
        remark = (
            "cut: samples were missing at its end" if one.cut else "with an interruption" if one.interrupted else ""
        )
        moment = f"{_moment(one.start_ns):%Y-%m-%d %H:%M:%S}.{one.start_ns % NANOSECONDS // 1_000_000:03d}"
        rows.append(
            f"<tr><td>{moment}</td><td>{_text(one.kind.replace('-', ' '))}</td><td>{_text(' '.join(one.phases))}</td>"
            f"<td class=n>{100 * one.voltage:.1f} %</td><td class=n>{one.duration:.3f} s</td><td>{remark}</td></tr>"
        )
    more = len(happenings) - len(rows)
    head = "<tr><th>Beginning (UTC)<th>Event<th>Phases<th class=n>Voltage, or change<th class=n>Duration<th></tr>"
    return f"<table>{head}{''.join(rows)}</table>" + (f"<p>And {more} more.</p>" if more else "")


def _method() -> str:
    return """<h2>How this was found</h2>
<p>Measured by the methods of IEC 61000-4-30 (10- and 12-cycle windows, ten minutes and two hours of UTC, Urms(1/2)),
IEC 61000-4-7 (harmonic subgroups) and IEC 61000-4-15 (flicker). Intervals with a dip, swell, interruption, gap, clipped
samples or a frequency out of range are flagged, counted and left out of the verdicts. Frequency is judged over this
week; the standard judges the narrow band over a year. Rapid voltage changes have no limit in EN 50160.</p>"""
