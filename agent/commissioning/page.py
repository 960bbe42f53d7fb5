"""
The page an installer reads: one big answer, what to do, then everything that it rests on. Pure.

Where it stands: `site` says which page is asked for, this writes it. Live parts carry an id and ``data-live``; the
page's few lines of script replace those of them that changed. Without scripts a page renews itself every few seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.commissioning.diagnosis import NAMES, Waveform
from agent.commissioning.drawing import degrees, phasor_diagram, waveforms
from agent.commissioning.markup import Markup, element, together
from agent.commissioning.messages import Handed
from agent.commissioning.verdicts import Judgement
from agent.commissioning.wiring import Finding, Verdict
from algorithms.api.records import MeasurementFrame
from device_catalog.contract.commissioning import MAXIMUM_TEXT, Answer

NOTHING = "-"
"""Shown in the place of a figure that there is not."""

RENEWED = 5
"""How often a browser without scripts asks again [s]."""

_marks = {
    "yes": element("path", d="M14 34 L27 47 L51 19"),
    "no": element("path", d="M18 18 L46 46 M46 18 L18 46"),
    "unsure": together(element("path", d="M23 24 a10 10 0 1 1 15 8 c-4 3 -5 4 -5 9"), element("path", d="M33 51 v.5")),
}
_kinds = {Verdict.OK: "ok", Verdict.WARNING: "warning", Verdict.FAILED: "failed", Verdict.NOT_JUDGED: "unsure"}
_mark_of = {Verdict.OK: "yes", Verdict.WARNING: "unsure", Verdict.FAILED: "no", Verdict.NOT_JUDGED: "unsure"}
_words_of = {Verdict.OK: "in order", Verdict.WARNING: "note", Verdict.FAILED: "wrong", Verdict.NOT_JUDGED: "not judged"}
_headlines = {
    Answer.PASSED: "This meter works",
    Answer.FAILED: "Not right yet",
    Answer.INCOMPLETE: "Not everything can be judged",
}


_none = Handed()


@dataclass(frozen=True, slots=True)
class View:
    """
    What is shown.

    Attributes
    ----------
    device : str
        Empty where the agent does not answer.
    judgement : Judgement
    frame : MeasurementFrame or None
    duration : float
        Of the waveforms [s].
    waveforms : sequence of Waveform
    handed : Handed
    """

    device: str
    judgement: Judgement
    frame: MeasurementFrame | None = None
    duration: float = 0.0
    waveforms: Sequence[Waveform] = ()
    handed: Handed = _none


def live(view: View) -> Markup:
    """Write the parts that change by themselves."""
    return together(_device(view.device), *_live_parts(view), _finish(view))


def main_page(name: str, view: View, token: str) -> Markup:
    """Write the page with everything on it."""
    log_out = element("button", "Log out", class_="plain")
    leave = element("form", _hidden(token), log_out, method="post", action="/logout", class_="leave")
    silent = "No answer from the meter. Are you still connected to it?"
    return _document(
        name,
        view.device,
        element("div", silent, id="silent", role="alert", hidden=True),
        element("main", *_live_parts(view), element("div", _finish(view), leave, class_="actions")),
        script=True,
        renew=RENEWED,
    )


def login_page(name: str, problem: str = "") -> Markup:
    """Ask for the PIN."""
    complaint = [element("p", problem, class_="wrong", role="alert", id="problem")] if problem else []
    return _document(
        name,
        "",
        element(
            "main",
            element(
                "form",
                element("h1", "Commissioning"),
                element("p", "The PIN is printed on the meter's label.", class_="soft", id="hint"),
                element("label", "PIN", for_="pin"),
                element(
                    "input",
                    type="password",
                    class_="pin",
                    id="pin",
                    name="pin",
                    inputmode="numeric",
                    autocomplete="off",
                    required=True,
                    autofocus=True,
                    maxlength="16",
                    aria_describedby="problem" if problem else "hint",
                ),
                *complaint,
                element("p", Markup("&nbsp;")),
                element("button", "Go on"),
                method="post",
                action="/login",
                class_="card narrow",
            ),
        ),
    )


def finish_page(name: str, view: View, token: str, said: Mapping[str, str], problems: Mapping[str, str]) -> Markup:
    """Ask for what belongs into the report."""
    answer = view.judgement.answer
    fields = [
        _field("installer", "Your name", "", said, problems),
        _field("place", "Where is this meter?", "street, number, cabinet", said, problems),
        _field("note", "Remarks", "if there are any", said, problems, required=False),
    ]
    if answer is not Answer.PASSED:
        words = {
            Answer.FAILED: "I know that this meter does not work properly, and report it like that.",
            Answer.INCOMPLETE: "I know that not everything could be judged, and why.",
        }[answer]
        tick = element("input", type="checkbox", name="known", value=answer.value, required=True)
        wrong = [element("span", problems["known"], class_="wrong", role="alert")] if "known" in problems else []
        fields.append(element("label", tick, element("span", words, *wrong), class_="tick"))
    elif "known" in problems:
        fields.append(element("p", problems["known"], class_="wrong", role="alert"))
    after = {
        Answer.FAILED: "The report is signed by the meter and kept by the catalog. This page stays open.",
        Answer.PASSED: "The report is signed by the meter and kept by the catalog. This page then closes.",
        Answer.INCOMPLETE: "The report is signed by the meter and kept by the catalog. This page then closes.",
    }[answer]
    return _document(
        name,
        view.device,
        element(
            "main",
            _answer(view),
            *_to_do(view.judgement),
            element(
                "form",
                element("h2", "Report"),
                _hidden(token),
                element("input", type="hidden", name="seen", value=answer.value),
                *fields,
                element("p", after, class_="soft small"),
                element("button", "Sign and hand in"),
                method="post",
                action="/finish",
                class_="card",
            ),
            element("a", "Back", class_="button plain", href="/"),
        ),
    )


def closed_page(name: str, handed: Handed) -> Markup:
    """Say that there is nothing more to do here."""
    number = f" It is report {handed.number} of this meter." if handed.number else ""
    return _document(
        name,
        "",
        element(
            "main",
            element(
                "div",
                _mark("yes"),
                element(
                    "div",
                    element("h1", "Done"),
                    element("p", f"The catalog has the report.{number} This page is closed now; you can leave."),
                ),
                class_="answer passed",
                role="status",
            ),
            element("p", f"Made {handed.made[:19].replace('T', ' ')} UTC.", class_="soft"),
        ),
    )


def problem_page(name: str, text: str) -> Markup:
    """Say in a sentence what is wrong with a request."""
    back = element("a", "Back", class_="button plain", href="/")
    return _document(name, "", element("main", element("div", element("p", text), back, class_="card narrow")))


# ---- parts


def _document(name: str, device: str, *body: str, script: bool = False, renew: int = 0) -> Markup:
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{name}: commissioning"),
        element("link", rel="stylesheet", href="/page.css"),
    ]
    if renew:
        head.append(element("noscript", element("meta", http_equiv="refresh", content=str(renew))))
    if script:
        head.append(element("script", src="/page.js", defer=True))
    told = element("header", element("b", name), _device(device))
    return together(
        Markup("<!doctype html>"), element("html", element("head", *head), element("body", told, *body), lang="en")
    )


def _live_parts(view: View) -> Iterator[Markup]:
    yield _region("answer", _answer(view), role="status")
    yield _region("handed", *_handed(view.handed))
    yield _region("todo", *_to_do(view.judgement))
    first = [
        element("section", element("h2", "Phasors"), *_readings(view.frame), class_="card"),
        element("section", element("h2", "Waveforms"), *_waves(view), class_="card"),
    ]
    groups = [
        element("section", element("h2", heading), _verdicts(findings), class_="card")
        for heading, findings in view.judgement.groups.items()
    ]
    if view.frame is None and not view.waveforms:
        first = []
    yield _region("signals", element("div", *first, class_="columns"))
    yield _region("findings", element("div", *groups, class_="columns masonry"))


def _device(device: str) -> Markup:
    return element("span", device or "commissioning", id="device", data_live=True)


def _finish(view: View) -> Markup:
    """Lead to the report, as soon as there is somebody to sign it."""
    link = [element("a", "Write the report", class_="button", href="/finish")] if view.device else []
    return _region("finish", *link)


def _region(name: str, *children: str, role: str | None = None) -> Markup:
    return element("div", *children, id=name, data_live=True, role=role)


def _answer(view: View) -> Markup:
    judgement = view.judgement
    worst = judgement.worst()
    count = len(worst)
    things = f"{count} thing{'' if count == 1 else 's'}"
    said = {
        Answer.PASSED: "Wired right, measuring, connected. Write the report, then you can leave.",
        Answer.FAILED: f"{things} to put right. This page follows what you do.",
        Answer.INCOMPLETE: f"Nothing is wrong, but {things} cannot be told yet.",
    }[judgement.answer]
    mark = {Answer.PASSED: "yes", Answer.FAILED: "no", Answer.INCOMPLETE: "unsure"}[judgement.answer]
    text = element("div", element("h1", _headlines[judgement.answer]), element("p", said))
    return element("div", _mark(mark), text, class_=f"answer {judgement.answer.value}")


def _mark(name: str) -> Markup:
    return element("svg", _marks[name], viewBox="0 0 64 64", aria_hidden="true")


def _to_do(judgement: Judgement) -> Iterator[Markup]:
    worst = judgement.worst()
    if not worst:
        return
    items = [
        element(
            "li",
            element(
                "span",
                element("b", _headline_of(one)),
                *([element("span", one.remedy, class_="remedy")] if one.remedy else []),
            ),
        )
        for one in worst
    ]
    title = "What to do" if judgement.answer is Answer.FAILED else "What is missing"
    yield element("section", element("h2", title), element("ol", *items, class_="todo"), class_="card")


def _headline_of(finding: Finding) -> str:
    """Put item and finding into one line; a finding that is a sentence needs no item before it."""
    return finding.found if finding.found[:1].isupper() else f"{finding.item}: {finding.found}"


def _handed(handed: Handed) -> Iterator[Markup]:
    said = {
        "waiting": f"The report is signed and kept here. The catalog does not have it yet{_because(handed.problem)}.",
        "refused": f"The catalog does not take the report{_because(handed.problem)}.",
        "accepted": f"The catalog has report {handed.number} of this meter, {handed.answer}.",
    }.get(handed.state)
    if said is not None:
        yield element("p", said, class_=f"card{' wrong' if handed.state == 'refused' else ''}")


def _because(problem: str) -> str:
    return f": {problem}" if problem else ""


def _readings(frame: MeasurementFrame | None) -> Iterator[Markup]:
    if frame is None:
        yield element("p", "No phasors yet.", class_="soft")
        return
    yield element("div", phasor_diagram(frame.voltage, frame.current), class_="phasor")
    rows = [element("tr", *_cells(frame, phase)) for phase in "ABC" if phase in frame.voltage or phase in frame.current]
    heads = ("", "Voltage [V]", "Current [A]", "Power [W]")
    table = element("table", element("tr", *(element("th", one, scope="col") for one in heads)), *rows)
    yield table
    yield element("p", "Small: angles against the voltage of L1, and the power factor.", class_="soft small")


def _cells(frame: MeasurementFrame, phase: str) -> Iterator[Markup]:
    yield element("td", element("b", element("i", class_=phase), NAMES[phase]))
    for readings, digits in ((frame.voltage, 1), (frame.current, 2)):
        reading = readings.get(phase)
        if reading is None:
            yield element("td", NOTHING)
            continue
        angle = degrees(reading, frame.voltage)
        yield element(
            "td", f"{reading.rms:.{digits}f}", element("small", NOTHING if angle is None else f"{angle:.1f}°")
        )
    power = frame.power.get(phase)
    if power is None:
        yield element("td", NOTHING)
        return
    factor = NOTHING if power.pf is None else f"{power.pf:.3f}"
    yield element("td", f"{power.p:.0f}", element("small", factor))


def _waves(view: View) -> Iterator[Markup]:
    if not view.waveforms:
        yield element("p", "No samples.", class_="soft")
        return
    for quantity, title in (("voltage", "Voltages"), ("current", "Currents")):
        if any(one.quantity == quantity for one in view.waveforms):
            yield element("p", title, class_="soft small")
            yield waveforms(view.waveforms, view.duration, quantity)


def _verdicts(findings: Sequence[Finding]) -> Markup:
    items = []
    for one in findings:
        mark = element("span", _mark(_mark_of[one.verdict]), element("span", _words_of[one.verdict], class_="aside"))
        remedy = [element("span", one.remedy, class_="remedy")] if one.remedy and one.verdict is Verdict.WARNING else []
        said = element("span", element("b", one.item), " ", element("span", one.found, class_="found"), *remedy)
        items.append(element("li", mark, said, class_=_kinds[one.verdict]))
    return element("ul", *items, class_="verdicts")


def _field(
    name: str, title: str, hint: str, said: Mapping[str, str], problems: Mapping[str, str], *, required: bool = True
) -> Markup:
    wrong = (
        [element("p", problems[name], class_="wrong", role="alert", id=f"{name}-problem")] if name in problems else []
    )
    return together(
        element("label", title, *([" ", element("small", hint)] if hint else []), for_=name),
        element(
            "input",
            type="text",
            id=name,
            name=name,
            value=said.get(name, ""),
            maxlength=str(MAXIMUM_TEXT),
            required=required,
            aria_describedby=f"{name}-problem" if name in problems else None,
        ),
        *wrong,
    )


def _hidden(token: str) -> Markup:
    return element("input", type="hidden", name="form", value=token)
