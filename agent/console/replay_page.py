"""
A recording as one HTML page that needs nothing else: waveforms, phasors, frequency, events, what the relays did.

Last room of ``tresma-agent replay FILE --page``: text from what `replay_data` collected and `replay_plots` drew. What
comes from the file is escaped.
"""

import html
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.console.replay_data import Happening, Recorded
from agent.errors import AgentError

_style = """
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:#1c2733;background:#eef1f4;margin:0}
main{max-width:1120px;margin:0 auto;padding:26px 34px 60px;background:#fff}
h1{font-size:24px;margin:0 0 6px}h2{font-size:18px;margin:30px 0 6px;border-bottom:1px solid #d5dbe1}
table{border-collapse:collapse;font-size:13.5px;margin:6px 0}th,td{text-align:left;padding:3px 12px 3px 0;
border-bottom:1px solid #e4e8ec;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto}figure{margin:4px 0 14px}figcaption{color:#5a6875;font-size:13px}.wide{width:100%}
@media print{body{background:#fff}figure{break-inside:avoid}}
"""
_captions = {
    "waveforms": "Primary values, and the RMS of one nominal cycle. Shaded: events; dotted: the trigger.",
    "closeup": "Three cycles before the beginning of an event to six after.",
    "differences": "Each sample less what was there a cycle before; named: the largest.",
    "phasors": "Fundamental, angles to the positive-sequence voltage, sequences; dots: flagged as disturbed.",
    "frequency": "Frequency and its rate of change; dots: flagged as disturbed.",
    "power": "Active and reactive power of all phases, positive from the node into the equipment.",
    "energy": "Registers that moved.",
    "harmonics": "Harmonic subgroups of the first undisturbed window of 10 (12) cycles.",
}
_headings = {
    "waveforms": "Waveforms",
    "differences": "What differs from the cycle before",
    "phasors": "Phasors",
    "frequency": "Frequency",
    "power": "Power",
    "energy": "Energy",
    "harmonics": "Harmonics",
}


def page(recorded: Recorded, pictures: Mapping[str, str]) -> str:
    """Write the page of a recording from what was collected, with SVG elements by name."""
    title = _text(recorded.title)
    facts = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in recorded.facts)
    parts = [
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title>",
        f'<meta name=viewport content="width=device-width,initial-scale=1"><style>{_style}</style></head><body><main>',
        f"<h1>{title}</h1><table>{facts}</table>",
        "<h2>Events</h2>",
        _events(recorded.happenings),
    ]
    for name, picture in pictures.items():
        kind = name.partition("-")[0]
        if kind in _headings:
            parts.append(f"<h2>{_headings[kind]}</h2>")
        parts.append(f"<figure>{picture}<figcaption>{_captions[kind]}</figcaption></figure>")
    parts += [_switchings(recorded), _windows(recorded), "</main></body></html>"]
    return "\n".join(parts)


def write_page(path: Path, text: str) -> None:
    """
    Write a page whole or not at all.

    Raises
    ------
    AgentError
        When it cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(suffix=".html", dir=path.absolute().parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AgentError(f"{path} cannot be written: {error.strerror or error}") from error


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _events(happenings: Sequence[Happening]) -> str:
    if not happenings:
        return "<p>The algorithms found none.</p>"
    rows = []
    for one in happenings:
        lasted = "until the end" if one.end is None else f"{one.end - one.begin:.4f} s"
        evidence = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in one.evidence.items())
        rows.append(
            f"<tr><td class=n>{one.begin:.4f} s</td><td>{_text(one.kind.replace('-', ' '))}</td>"
            f"<td>{_text(' '.join(one.phases))}</td><td class=n>{lasted}</td><td>{_text(evidence)}</td></tr>"
        )
    head = "<tr><th>After the trigger<th>Event<th>Phases<th>Lasted<th>Evidence</tr>"
    return f"<table class=wide>{head}{''.join(rows)}</table>"


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _switchings(recorded: Recorded) -> str:
    if not recorded.switchings:
        return ""
    rows = []
    for one in recorded.switchings:
        state, told = one.first, []
        for at in one.changes:
            state = not state
            told.append(f"{'on' if state else 'off'} {at:.4f}")
        rows.append(f"<tr><td>{_text(one.name)}</td><td>{', '.join(told)}</td></tr>")
    head = "<tr><th>Digital channel<th>Changes, after the trigger [s]</tr>"
    return f"<h2>What the recorder's digital channels did</h2><table>{head}{''.join(rows)}</table>"


def _windows(recorded: Recorded) -> str:
    if not recorded.windows:
        return ""
    phases = sorted({phase for _, payload in recorded.windows for phase in payload["voltage"]})
    rows = []
    for time, payload in recorded.windows[:100]:
        voltages = [payload["voltage"].get(phase) for phase in phases]
        cells = "".join(f"<td class=n>{one['rms']:,.1f}</td>" if one else "<td class=n>-</td>" for one in voltages)
        balance = "-" if payload["unbalance"] is None else f"{100 * payload['unbalance']['u2']:.2f} %"
        frequency = "-" if payload["frequency"] is None else f"{payload['frequency']:.4f}"
        rows.append(
            f"<tr><td class=n>{time - payload['duration']:.4f}</td>{cells}"
            f"<td class=n>{frequency}</td><td class=n>{balance}</td>"
            f"<td>{_text(', '.join(payload['flagged']))}</td></tr>"
        )
    columns = "".join(f"<th>U {phase} [V]" for phase in phases)
    head = f"<tr><th>Begins [s]{columns}<th>Frequency [Hz]<th>u2<th>Flagged</tr>"
    more = f"<p>And {len(recorded.windows) - 100} more.</p>" if len(recorded.windows) > 100 else ""
    not_measured = sorted({text for _, payload in recorded.windows for text in payload["not_measured"]})
    without = f"<p>Not measured: {_text('; '.join(not_measured))}.</p>" if not_measured else ""
    return f"<h2>Windows of 10 (12) cycles</h2><table>{head}{''.join(rows)}</table>{more}{without}"
