"""
What pages say of the image of a meter's root slots: which one runs from where, and how a change of it goes (pure).

Where it stands: the list of meters shows `image_of`, a line; the page of one shows `image_facts`. A meter without slots
that nobody asks for an image has nothing to say here.
"""

from device_catalog.contract.documents import ImageSetting
from device_catalog.contract.register import DeviceDetail
from device_catalog.contract.reports import ImageReport, UpdateReport
from device_catalog.pages.words import Said

_LEFT = "probation: "
"""So begins why an image was left that had been started."""
_names = {
    "pending": "is to come",
    "downloading": "is being loaded",
    "installed": "is written",
    "deferred": "waits to be tried",
    "starting": "is being started",
    "probation": "is on trial",
    "active": "is in force",
}


def image_of(detail: DeviceDetail) -> Said | None:
    """Say in a line which image runs, and what keeps another one from it; None where there is nothing to say."""
    report, wanted = _parts(detail)
    if report is None:
        return None if wanted is None or not wanted.version else Said(f"{wanted.version} wanted, none reported", "warn")
    running = _running(report)
    if report.state == "trying":
        return Said(f"{running}, on trial", "warn")
    if report.update is not None and report.update.step == "failed":
        return Said(f"{running}, {_failed(report.update)}", "bad")
    if report.update is not None and report.update.step not in ("active", ""):
        return Said(f"{running}, {_on_its_way(report, report.update)}", "warn")
    if report.version and wanted is not None and wanted.version not in ("", report.version):
        return Said(f"{running} → {wanted.version}", "warn")
    return Said(running, "warn" if report.last_error else "good" if report.version else "soft")


def image_facts(detail: DeviceDetail) -> list[tuple[str, Said]]:
    """Say all that is known of a meter's image: what runs, the way back, what is wanted, how far it is and why."""
    report, wanted = _parts(detail)
    facts: list[tuple[str, Said]] = []
    if report is not None:
        name = f"{report.name} {report.version}, release {report.release}" if report.version else "no root slots"
        facts.append(("Runs", Said(name)))
    if report is not None and report.version:
        trial = report.state == "trying"
        state = "on trial; unless it is confirmed, the next start is the image before" if trial else "confirmed"
        facts.append(("Slot", Said(report.slot or "not said")))
        facts.append(("State", Said(state, "warn" if trial else "good")))
        back = f"{report.before}, in the other slot" if report.before else "none in the other slot"
        facts.append(("Way back", Said(back, "" if report.before else "soft")))
    if wanted is not None:
        by = f" ({wanted.rollout})" if wanted.rollout else ""
        tone = "warn" if report is None or (wanted.version and wanted.version != report.version) else ""
        facts.append(("Wanted", Said(f"{wanted.version or 'what is there'}{by}", tone)))
        facts.append(("Probation", Said(f"{wanted.probation:g} s")))
        if wanted.windows:
            facts.append(("Restarts", Said(f"{', '.join(wanted.windows)} UTC")))
    if report is None:
        return facts
    update = report.update
    if update is not None and update.step:
        words = _failed(update) if update.step == "failed" else _on_its_way(report, update)
        tone = {"failed": "bad", "active": "soft"}.get(update.step, "warn")
        facts.append(("Change", Said(words, tone)))
        if update.reason:
            facts.append(("Because", Said(update.reason[:500])))
    if report.last_error:
        facts.append(("Trouble", Said(report.last_error[:500], "bad")))
    return facts


def _parts(detail: DeviceDetail) -> tuple[ImageReport | None, ImageSetting | None]:
    return (None if detail.reported is None else detail.reported.image), detail.desired.configuration.image


def _running(report: ImageReport) -> str:
    if not report.version:
        return "no root slots"
    return f"{report.version} in slot {report.slot}" if report.slot else report.version


def _failed(update: UpdateReport) -> str:
    if update.reason.startswith(_LEFT):
        return f"back from {update.version}"
    return f"{update.version} was not taken"


def _on_its_way(report: ImageReport, update: UpdateReport) -> str:
    words = f"{update.version} {_names.get(update.step, update.step)}"
    if update.step == "downloading" and report.downloaded:
        words = f"{words}, {report.downloaded:.0%}"
    return words
