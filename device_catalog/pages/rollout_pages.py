"""The pages of rollouts and of who did what: what is asked for them, put into words, and which template shows it."""

from typing import Any
from urllib.parse import urlencode

from litestar import Response

from device_catalog.access.audit import Audit
from device_catalog.access.operators import Operator
from device_catalog.api.callers import AnyRequest
from device_catalog.api.roles import role_of
from device_catalog.contract.operators import AUDIT, AuditEntry
from device_catalog.contract.rollout_progress import RolloutSummary
from device_catalog.contract.rollouts import DeviceState, RolloutState, Selector
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import NotAllowed, RolloutUnknown
from device_catalog.pages.shell import Shell
from device_catalog.pages.words import Said, clock, size
from device_catalog.rollouts.questions import RolloutQuestions

PAGE = 50

_tones = {
    RolloutState.RUNNING: "good",
    RolloutState.PAUSED: "warn",
    RolloutState.ABORTED: "bad",
    RolloutState.FAILED: "bad",
    RolloutState.FINISHED: "",
}
_device_tones = {DeviceState.DONE: "good", DeviceState.FAILED: "bad", DeviceState.OVERDUE: "bad"}


class RolloutPages:
    """
    Shows rollouts and the audit trail.

    Parameters
    ----------
    shell : Shell
    questions : RolloutQuestions
    audit : Audit
    """

    def __init__(self, shell: Shell, questions: RolloutQuestions, audit: Audit) -> None:
        self._shell, self._questions, self._audit = shell, questions, audit

    async def all(self, request: AnyRequest, who: Operator) -> Response[bytes]:
        """Show all rollouts, newest first."""
        cursor = _cursor(request)
        page = await self._questions.page(who.tenant, {"cursor": cursor, "algorithm": "", "state": ""}, PAGE)
        values = {
            "rows": [summary_row(one) for one in page.items],
            "first": "/rollouts" if cursor else "",
            "next": f"/rollouts?{urlencode({'cursor': page.next})}" if page.next else "",
        }
        return self._shell.page("rollouts.html", values, request, who)

    async def one(self, request: AnyRequest, who: Operator) -> Response[bytes]:
        """Show one rollout: stages, failures, comparison, devices, what happened."""
        name = str(request.path_params["rollout"])
        if not is_identifier(name):
            raise RolloutUnknown(name[:80])
        detail, _ = await self._questions.detail(name)
        if not who.sees(detail.request.to.tenant):
            raise RolloutUnknown(name)
        cursor = _cursor(request)
        devices = await self._questions.devices(name, "", cursor, PAGE)
        request_, package, budget = detail.request, detail.package, detail.request.budget
        facts = [
            ("To", selector_text(request_.to)),
            ("Allowed to fail", f"{request_.max_failures}; {detail.summary.allowed_failures} in this stage"),
            ("Deadline", f"{request_.deadline:g} s for each device"),
            ("At once", f"{budget.per_area or 'any'} of an area, {budget.per_network or 'any'} of a network"),
            ("Package", f"release {package.release}, {size(package.length)}, {package.sha256[:16]}"),
            ("Started", f"{detail.summary.created:%Y-%m-%d %H:%M:%S} UTC by {detail.summary.author}"),
        ]
        values = {
            "row": summary_row(detail.summary),
            "facts": facts,
            "comparison": detail.comparison,
            "devices": [
                (one, _device_tones.get(one.state, ""), f"{one.since:%Y-%m-%d %H:%M:%S}", "\n".join(one.log))
                for one in devices.items
            ],
            "transitions": [(f"{one.time:%Y-%m-%d %H:%M:%S}", one) for one in detail.transitions],
            "first": f"/rollouts/{name}" if cursor else "",
            "next": f"/rollouts/{name}?{urlencode({'cursor': devices.next})}" if devices.next else "",
        }
        return self._shell.page("rollout.html", values, request, who)

    async def audit(self, request: AnyRequest, who: Operator) -> Response[bytes]:
        """Show who did what, newest first."""
        needed = role_of("get", AUDIT)
        if not who.role.includes(needed):
            raise NotAllowed(f"expected an operator whose role is {needed.value} or above, found {who.role.value}")
        cursor = request.query_params.get("cursor", "")
        cursor = cursor if cursor.isascii() and cursor.isdigit() and len(cursor) < 18 else ""
        page = await self._audit.page(who, cursor, 0, PAGE)
        values = {
            "rows": [audit_row(one) for one in page.items],
            "first": "/audit" if cursor else "",
            "next": f"/audit?{urlencode({'cursor': page.next})}" if page.next else "",
        }
        return self._shell.page("audit.html", values, request, who)


def summary_row(summary: RolloutSummary) -> dict[str, Any]:
    """Put a rollout into words."""
    counts = summary.counts
    bad = counts.failed + counts.overdue
    if summary.shadowing:
        stage = "beside the version in force"
    else:
        percent = summary.stages[min(summary.stage, len(summary.stages) - 1)].percent
        stage = f"stage {summary.stage + 1} of {len(summary.stages)}: {percent:g} %"
    if summary.state is RolloutState.FINISHED:
        stage = "all stages"
    if summary.soaking_since is not None and summary.state is RolloutState.RUNNING:
        stage = f"{stage}, watched since {summary.soaking_since:%H:%M:%S}"
    members = max(1, counts.members, counts.done + counts.chosen + bad)  # a newer rollout may have taken members over
    return {
        "name": summary.rollout,
        "what": f"{summary.algorithm} {summary.version}",
        "state": Said(summary.state.value + (", going back" if summary.restoring else ""), _tones[summary.state]),
        "reason": summary.reason,
        "stage": stage,
        "counts": counts,
        "done": f"{counts.done} of {members}" if counts.members else f"{counts.done}",
        "bad": Said(f"{bad} of {summary.allowed_failures} allowed", "bad" if bad else "soft"),
        "shares": [("done", counts.done / members), ("under", counts.chosen / members), ("failed", bad / members)],
        "back": f"{counts.going_back} on the way, {counts.back} there" if counts.going_back + counts.back else "",
        "to": selector_text(summary.to),
        "changed": f"{summary.changed:%Y-%m-%d %H:%M:%S}",
    }


def selector_text(to: Selector) -> str:
    """Say whom a rollout is for."""
    words = [f"group {name}" for name in to.groups] + [f"{name}" for name in to.devices[:5]]
    if len(to.devices) > 5:
        words.append(f"{len(to.devices) - 5} more")
    for name, value in (("kind", to.kind), ("tenant", to.tenant), ("network", to.network), ("area", to.area)):
        if value:
            words.append(f"{name} {value}")
    if to.using:
        words.append(f"whoever runs {to.using}")
    return ", ".join(words) or "everybody"


def audit_row(entry: AuditEntry) -> dict[str, Any]:
    """Put an act into words."""
    changed = f"{entry.before} → {entry.after}" if entry.before and entry.after else entry.after
    return {
        "number": entry.number,
        "time": clock(entry.time_ns),
        "who": f"{entry.actor} ({entry.role}{', ' + entry.tenant if entry.tenant else ''})",
        "what": f"{entry.method} {entry.path}",
        "status": Said(str(entry.status), "bad" if entry.status >= 400 else ""),
        "changed": changed,
        "address": entry.address,
        "hash": entry.hash[:12],
    }


def _cursor(request: AnyRequest) -> str:
    cursor = request.query_params.get("cursor", "")
    return cursor if is_identifier(cursor) else ""
