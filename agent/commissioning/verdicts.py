"""
Everything an installer must know before leaving, as findings under five headings, and one answer. Pure.

Where it stands: what `diagnosis` says of the wiring, beside how the meter's agent, its catalog, brokers and clock are
(`messages.AgentState`) and how far it was set up (`provisioned`). The answer is green only where everything was judged
and nothing is wrong; what is not judged makes it yellow, for whoever leaves then should know and say so.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.commissioning.messages import AgentState, CatalogState
from agent.commissioning.wiring import Finding, Verdict
from device_catalog.contract.commissioning import Answer, VerdictLine

SET_SINCE = 1_735_689_600.0
"""Start of 2025: a clock that says something earlier was never set [s since 1970]."""

CLOCK_TOLERANCE = 5.0
"""How far this clock may be from the catalog's [s]."""

ANSWERS_WITHIN = 900.0
"""A catalog that was not heard for longer counts as away, whatever the last answer was [s]."""

LOSSES = 1e-3
"""Share of samples that may be missing in what is looked at [1]."""

HEADINGS = ("Voltages and currents", "Wiring", "Measurement", "Connections", "Set-up")

_DAY = 86_400.0


class Provisioned(msgspec.Struct, frozen=True):
    """
    How far the meter was set up from its card, as ``provisioning.json`` says.

    Attributes
    ----------
    state : str
        ``waiting`` (goes on by itself), ``failed`` or ``done``.
    problem, remedy : str
    """

    state: str = ""
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    All findings, and what they come to.

    Attributes
    ----------
    groups : mapping
        Findings by heading, in order.
    answer : Answer
    """

    groups: Mapping[str, Sequence[Finding]]
    answer: Answer

    @property
    def findings(self) -> list[Finding]:
        """All of them."""
        return [finding for group in self.groups.values() for finding in group]

    def worst(self) -> list[Finding]:
        """Those that somebody has to do something about: what failed, or else what is not judged."""
        for verdict in (Verdict.FAILED, Verdict.NOT_JUDGED):
            found = [finding for finding in self.findings if finding.verdict is verdict]
            if found:
                return _without_repetition(found)
        return []

    def lines(self) -> tuple[VerdictLine, ...]:
        """Write them as a record has them."""
        return tuple(VerdictLine(one.item, one.verdict.value, one.found, one.remedy) for one in self.findings)


def _without_repetition(findings: list[Finding]) -> list[Finding]:
    """Leave out single currents that are too small where the transformers' own line tells the same."""
    if not any(one.item == "Current transformers" and one.verdict is Verdict.NOT_JUDGED for one in findings):
        return findings
    return [one for one in findings if not one.item.startswith("Current L")]


def put_together(
    wiring: Sequence[Finding],
    agent: AgentState | None,
    provisioned: Provisioned | None,
    *,
    missing: float = 0.0,
    now: float | None = None,
) -> Judgement:
    """
    Judge everything.

    Parameters
    ----------
    wiring : sequence of Finding
        Of `diagnosis.judge`; empty where nothing is sampled.
    agent : AgentState or None
        None where the agent does not answer.
    provisioned : Provisioned or None
        None for a meter that was not set up from a card.
    missing : float
        Share of samples that were lost [1].
    now : float or None
        This machine's clock [s since 1970].
    """
    now = time.time() if now is None else now
    channels = [finding for finding in wiring if finding.item.startswith(("Voltage", "Current L", "Current N"))]
    frequency = [finding for finding in wiring if finding.item == "Frequency"]
    between = [finding for finding in wiring if finding not in (*channels, *frequency)]
    groups = {
        HEADINGS[0]: channels,
        HEADINGS[1]: between,
        HEADINGS[2]: [*_samples(agent, wiring, missing), *frequency, _clock(agent, now)],
        HEADINGS[3]: [*_catalog(agent, now), *_brokers(agent)],
        HEADINGS[4]: [*_provisioning(provisioned), *_meter(agent, provisioned), *_settings(agent)],
    }
    answer = answer_of(finding for found in groups.values() for finding in found)
    return Judgement({name: found for name, found in groups.items() if found}, answer)


def answer_of(findings: Iterable[Finding]) -> Answer:
    """Put all verdicts into one."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.FAILED in verdicts:
        return Answer.FAILED
    return Answer.INCOMPLETE if Verdict.NOT_JUDGED in verdicts or not verdicts else Answer.PASSED


# ---- measurement


def _samples(agent: AgentState | None, wiring: Sequence[Finding], missing: float) -> Iterator[Finding]:
    item = "Samples"
    if agent is None:
        return
    if not agent.settings.has_source:
        if agent.revision:
            yield Finding(item, Verdict.FAILED, "the settings name no board", "ask the operator to assign one")
        return
    source = agent.source
    if source is None or source.state not in ("running", "starting", "ended"):
        reason = source.last_error if source is not None else ""
        remedy = "check that the board is plugged in; the meter tries again by itself"
        yield Finding(item, Verdict.FAILED, reason or "the board delivers nothing", remedy)
    elif not wiring:
        yield Finding(item, Verdict.NOT_JUDGED, "none yet", "wait some seconds")
    elif missing > LOSSES:
        found = f"{100 * missing:.2g} % of the samples are lost"
        yield Finding(item, Verdict.FAILED, found, "use a shorter USB cable, or ask the operator for a lower rate")
    else:
        rate = f"{source.sample_rate:g} samples a second"
        lost = f", {source.lost} lost since the start" if source.lost else ", none lost"
        verdict = Verdict.WARNING if source.lost else Verdict.OK
        yield Finding(item, verdict, f"{rate}{lost}", "look again: they should not become more" if source.lost else "")


def _clock(agent: AgentState | None, now: float) -> Finding:
    item = "Clock"
    said = time.strftime("%d %B %Y, %H:%M UTC", time.gmtime(now)).lstrip("0")
    if now < SET_SINCE:
        remedy = "give the meter a network; it sets its clock by itself within minutes"
        return Finding(item, Verdict.FAILED, f"It says {said}: the clock was never set", remedy)
    ahead = agent.catalog.ahead if agent is not None else None
    if ahead is not None and abs(ahead) > CLOCK_TOLERANCE:
        found = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the catalog's"
        return Finding(item, Verdict.FAILED, found, "wait until the time service has set it; it needs the network")
    if agent is not None and agent.time.synchronised:
        within = agent.time.uncertainty
        exact = "" if within is None else f" to {_short(within)}"
        return Finding(item, Verdict.OK, f"{said}, right{exact}")
    remedy = "the meter works; angles against other meters need the time service"
    return Finding(item, Verdict.WARNING, f"{said}, not yet compared with a time service", remedy)


# ---- connections


def _catalog(agent: AgentState | None, now: float) -> Iterator[Finding]:
    item = "Catalog"
    if agent is None:
        return
    catalog = agent.catalog
    if catalog.problem:
        yield Finding(item, Verdict.FAILED, *_why(catalog, now))
    elif catalog.answered is None:
        yield Finding(item, Verdict.NOT_JUDGED, "not asked yet", "wait some seconds")
    elif catalog.answered > ANSWERS_WITHIN:
        found = f"not heard for {catalog.answered / 60:.0f} minutes"
        yield Finding(item, Verdict.FAILED, found, "check the network")
    else:
        yield Finding(item, Verdict.OK, f"answers ({catalog.address})")


def _why(catalog: CatalogState, now: float) -> tuple[str, str]:
    """Tell why the catalog is away so that an installer can do something about it."""
    text = catalog.problem.lower()
    if "certificate" in text and now < SET_SINCE:
        return (
            "The catalog's certificate cannot be judged while the clock is not set",
            "give the meter a network with a time service",
        )
    if "certificate verify failed" in text or "self-signed" in text or "hostname mismatch" in text:
        return (
            f"Whoever answers at {catalog.address} shows a certificate that this meter does not trust",
            "is this network's own login page in between? If not, ask the operator for a card with the right authority",
        )
    if "answered 401" in text or "answered 403" in text:
        return (
            "The catalog does not let this meter in",
            "ask the operator for a new card: its token was used, or the meter was revoked",
        )
    if "name or service not known" in text or "temporary failure in name resolution" in text:
        return f"No network, or no name service: {catalog.address} is not found", "check the cable, Wi-Fi or SIM card"
    if "timed out" in text or "unreachable" in text or "no route" in text:
        return f"No answer from {catalog.address}", "check the cable, Wi-Fi or SIM card, and the network's firewall"
    return catalog.problem, "check the network; the meter tries again by itself"


def _brokers(agent: AgentState | None) -> Iterator[Finding]:
    if agent is None or not agent.revision:
        return
    for name, words in (("grid", "Grid broker"), ("data", "Data broker")):
        link = agent.links.get(name)
        if link is None:
            yield Finding(words, Verdict.NOT_JUDGED, "not tried yet", "wait some seconds")
        elif link.connected:
            waiting = f", {link.pending} messages wait" if link.pending > 100 else ""
            yield Finding(words, Verdict.OK, f"connected to {link.endpoint}{waiting}")
        else:
            remedy = "check the network's firewall; nothing is lost meanwhile, the meter keeps what it measures"
            yield Finding(words, Verdict.FAILED, link.last_error or "not connected", remedy)


# ---- set-up


def _provisioning(provisioned: Provisioned | None) -> Iterator[Finding]:
    item = "Card"
    if provisioned is None:
        return
    if provisioned.state == "done" and not provisioned.problem:
        yield Finding(item, Verdict.OK, "taken over")
    elif provisioned.state == "done":
        yield Finding(item, Verdict.WARNING, provisioned.problem, provisioned.remedy)
    else:
        found = provisioned.problem or "the meter is still being set up"
        yield Finding(item, Verdict.FAILED, found, provisioned.remedy or "wait: it goes on by itself")


def _meter(agent: AgentState | None, provisioned: Provisioned | None) -> Iterator[Finding]:
    if agent is not None:
        yield _certificate(agent)
    elif provisioned is None or provisioned.state == "done":  # else it waits for that
        remedy = "wait a minute after switching on; if it stays, switch off and on, then call the operator"
        yield Finding("Meter", Verdict.FAILED, "The measuring program does not answer", remedy)


def _certificate(agent: AgentState) -> Finding:
    item = "Identity"
    left = agent.certificate_left
    if left is None:
        return Finding(
            item, Verdict.FAILED, "This meter has no certificate, so it can sign nothing", "ask the operator for a card"
        )
    if agent.certificate_begins > 0:
        found = "The certificate is not valid yet by this clock"
        return Finding(item, Verdict.FAILED, found, "wait until the time service has set the clock")
    if left <= 0:
        return Finding(item, Verdict.FAILED, "The certificate has ended", "ask the operator to enrol this meter anew")
    return Finding(item, Verdict.OK, f"{agent.device}, certificate for {left / _DAY:.0f} more days")


def _settings(agent: AgentState | None) -> Iterator[Finding]:
    if agent is None:
        return
    item = "Settings"
    if agent.refused:
        found = f"The newest settings are refused: {agent.refused[0]}"
        yield Finding(item, Verdict.FAILED, found, "ask the operator to correct them")
    elif not agent.revision:
        yield Finding(item, Verdict.FAILED, "none yet", "they come from the catalog")
    else:
        yield Finding(item, Verdict.OK, f"revision {agent.revision}")
    ill = [name for name, state in agent.algorithms.items() if state not in ("running", "starting")]
    if ill:
        found = f"{', '.join(ill)} {'does' if len(ill) == 1 else 'do'} not run"
        yield Finding("Algorithms", Verdict.FAILED, found, "ask the operator: the reason is in what the meter reports")
    elif agent.algorithms:
        yield Finding("Algorithms", Verdict.OK, f"{', '.join(agent.algorithms)} run")


def _short(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2g} {unit}"
    return f"{seconds * 1e9:.2g} ns"
