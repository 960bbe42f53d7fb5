"""
Tells devices: what they should run from now on, or that they go back to what they had.

Where it stands: `looking` says how many may be told; here the next ones are picked (`plan`) and their choices written,
each with what was there before, and a new revision of the desired document. Nothing is told twice.
"""

import msgspec

from device_catalog.contract.documents import Assignment, Configuration, PackageReference
from device_catalog.contract.rollouts import Back, DeviceState, RolloutRequest, RolloutState
from device_catalog.fleet.fleet import Fleet
from device_catalog.rollouts.judgement import Report, Target, is_back, runs_already
from device_catalog.rollouts.overlay import Choice, Chosen, configured, counts, in_force
from device_catalog.rollouts.plan import Member, pick
from device_catalog.rollouts.progress import may_be_told, may_be_told_late
from device_catalog.storage.rollout_work import Work
from device_catalog.storage.rollouts import SHADOW_STAGE, Raised, ToldRow, name_of

TOLD_AT_ONCE = 500
"""Devices that one look tells; the next ones are told in the next look."""

DAY = 86_400.0
"""[s]"""

RESTORED_AT_ONCE = 1000
"""Devices that one look tells to go back."""

_decode = msgspec.json.decode
_encode = msgspec.json.encode


class Telling:
    """
    Tells devices of one rollout.

    Parameters
    ----------
    fleet : Fleet
    work : Work
    request : RolloutRequest

    Attributes
    ----------
    raised : list of Raised
        Devices whose desired document changed.
    """

    def __init__(self, fleet: Fleet, work: Work, request: RolloutRequest) -> None:
        self.raised: list[Raised] = []
        self._fleet = fleet
        self._work = work
        self._request = request
        self._now_ns = fleet.wall()
        self._name = name_of(work.row.number)
        self._package = _decode(work.row.package, type=PackageReference)

    @property
    def stage(self) -> int:
        """The stage that devices are told in, counted from 0; -1 while the version only runs beside."""
        return SHADOW_STAGE if self._work.row.shadowing else self._work.row.stage

    @property
    def target(self) -> Target:
        """What devices should run."""
        row = self._work.row
        return Target(self._name, row.algorithm, row.version, row.shadowing)

    def assignment(self, device: str) -> Assignment | None:
        """Give what a device's operator configured of the algorithm."""
        known = self._work.known(device)
        if known is None:
            return None
        return configured(_decode(known.configuration, type=Configuration), self._work.row.algorithm)

    def probation(self, device: str) -> float:
        """Tell how long the version has to prove itself on a device [s]."""
        if self._request.probation is not None:
            return self._request.probation
        return (self.assignment(device) or Assignment("")).probation

    def wait(self, device: str) -> float:
        """Tell how long a device may have to wait for a time of the day at which it may restart [s]."""
        if not self._request.image:
            return 0.0
        known = self._work.known(device)
        image = None if known is None else _decode(known.configuration, type=Configuration).image
        windows = self._request.settings.get("windows") if image is None else image.windows
        return DAY if windows else 0.0

    def report(self, device: str) -> Report | None:
        """Give what a device said last; None where it is nothing that can be read."""
        known = self._work.known(device)
        if known is None or known.report is None:
            return None
        try:
            return _decode(known.report, type=Report)
        except msgspec.MsgspecError:
            return None

    def tell_next(self, told: dict[str, str], ready: list[Member]) -> None:
        """Tell as many of those who are there, in order, as the stage is still for."""
        row, shadow = self._work.row, self.target.shadow
        superseded = sum(state == DeviceState.SUPERSEDED for state in told.values())
        already = len(told) - superseded
        members = max(row.members, already)
        chosen = sum(state == DeviceState.CHOSEN for state in told.values())
        if row.state == RolloutState.FINISHED:
            most = may_be_told_late(self._request, members, chosen, already - chosen)
        else:
            most = may_be_told(self._request, self.stage, members, chosen, already - chosen)
        count = min(most, TOLD_AT_ONCE)
        if count <= 0 or not ready:
            return
        if shadow:
            picked = ready[:count]  # nothing is interrupted: no budget counts
        else:
            sizes = self._work.sizes(member.network for member in ready)
            picked = pick(ready, count, self._request.budget, self._work.changing(), sizes)
        self._work.load(member.device for member in picked)
        for member in picked:
            self._choose(member.device)

    def _choose(self, name: str) -> None:
        """Tell a device the version, or to run it beside."""
        work, row, now_ns = self._work, self._work.row, self._now_ns
        if work.known(name) is None:
            return
        assignment = self.assignment(name)
        known = work.choice(name)
        current = _decode(known, type=Choice) if known else None
        if current is not None and not counts(current, assignment):
            current, known = None, ""
        if current is not None and current.owner > row.number:
            return
        report = self.report(name)
        told = ToldRow(row.number, name, DeviceState.CHOSEN, Back.NO, self.stage, now_ns, 0, 0, "", 0, "", "", "", "")
        stated, _ = in_force(current, assignment)
        by_hand = current is None or current.chosen is None
        if (stated == row.version and (by_hand or row.shadowing)) or (not stated and runs_already(self.target, report)):
            state = DeviceState.DONE if runs_already(self.target, report) or row.shadowing else DeviceState.CHOSEN
            work.add_device(told._replace(state=state, step="ran it already" if state is DeviceState.DONE else ""))
            return
        before = self._taken_over(current, known, name)
        add = self._request.add or (current is not None and current.chosen is not None and current.chosen.add)
        settings = self._request.settings
        if current is not None and current.chosen is not None and not settings:
            settings = current.chosen.settings
        image = self._request.image
        new = Chosen(self._name, row.version, self._package, add, settings, self._request.probation, image)
        base = "" if assignment is None else assignment.version
        if row.shadowing:
            choice = Choice(row.number, base, current.chosen if current is not None else None, new)
        else:
            choice = Choice(row.number, base, new)
        work.choose(name, row.number, _encode(choice).decode())
        raised = self._raise(name, f"{row.algorithm} {row.version}{' beside' if row.shadowing else ''}")
        work.add_device(told._replace(revision=raised.revision, before=before))

    def _taken_over(self, current: Choice | None, known: str, name: str) -> str:
        """Take a device over from an older rollout; return what it would go back to, JSON text."""
        if current is None:
            return ""
        older = self._work.row_of(current.owner, name)
        if older is None:
            return known
        if older.state not in (DeviceState.SUPERSEDED, DeviceState.OVERRIDDEN):
            self._work.take_over(current.owner, name, self._now_ns)
        # A version that was not proved there is nothing to go back to.
        unproved = older.state in (DeviceState.CHOSEN, DeviceState.OVERDUE)
        return older.before if unproved or current.shadow is not None else known

    def _raise(self, name: str, detail: str) -> Raised:
        device = self._fleet.devices[name]
        raised = self._work.raise_revision(name, max(device.revision, device.applied) + 1, self._now_ns, detail)
        self.raised.append(raised)
        return raised

    def restore(self) -> bool:
        """Tell devices to go back; tell whether all of them were told."""
        rows = self._work.to_restore(RESTORED_AT_ONCE)
        self._work.load(told.device for told in rows)
        for told in rows:
            self.send_back(told)
        return len(rows) < RESTORED_AT_ONCE

    def send_back(self, told: ToldRow) -> None:
        """Tell a device to go back to what it had before, as far as this rollout's choice is what it has."""
        work, number = self._work, self._work.row.number
        for later in work.successors(told.device):
            if later.before and _decode(later.before, type=Choice).owner == number:
                work.set_before(later.rollout, told.device, told.before)
        text = work.choice(told.device)
        ours = bool(text) and _decode(text, type=Choice).owner == number
        if not ours or told.device not in self._fleet.devices:
            work.change_device(told.device, back=Back.THERE)
            return
        before = _decode(told.before, type=Choice) if told.before else None
        work.choose(told.device, before.owner if before else 0, told.before)
        version = before.chosen.version if before is not None and before.chosen is not None else "as configured"
        raised = self._raise(told.device, f"{work.row.algorithm} {version}, back from {work.row.version}")
        work.change_device(told.device, back=Back.GOING, revision=raised.revision, judged_ns=0)

    def look_back(self, told: ToldRow, report: Report | None, came_ns: int) -> None:
        """Look whether a device that was told to go back has."""
        before = _decode(told.before, type=Choice) if told.before else None
        version, _ = in_force(before, self.assignment(told.device))
        back = is_back(self.target, told.revision, version, report)
        self._work.change_device(told.device, back=back, judged_ns=came_ns)
