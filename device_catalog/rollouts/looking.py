"""
One look at one rollout, in one transaction: what devices say is judged, then the rollout, then devices are told.

What is decided is pure (`plan`, `judgement`, `progress`, `comparison`, `overlay`); here it meets the database, and the
register in memory, which knows who is there. `ticking` looks every second, `orders` when a person wants something.
"""

import logging

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from device_catalog.contract.report_bounds import LARGEST_RESTARTS, printable
from device_catalog.contract.reports import ShadowReport
from device_catalog.contract.rollout_progress import Comparison
from device_catalog.contract.rollouts import Back, DeviceState, RolloutRequest, RolloutState, ShadowTest
from device_catalog.fleet.device import Device
from device_catalog.fleet.fleet import NANOSECONDS, Fleet
from device_catalog.fleet.leases import NEVER, State
from device_catalog.rollouts.comparison import total
from device_catalog.rollouts.judgement import Report, Told, failures, judge
from device_catalog.rollouts.overlay import Choice, counts
from device_catalog.rollouts.plan import Member, in_order
from device_catalog.rollouts.progress import Next, Standing, allowed_failures, next_step, target
from device_catalog.rollouts.telling import Telling
from device_catalog.storage.rollout_work import Work
from device_catalog.storage.rollouts import Raised, ToldRow, name_of

CATALOG = "catalog"
"""Who acts where nobody asked."""

_decode = msgspec.json.decode
_encode = msgspec.json.encode
_log = logging.getLogger(__name__)
_under_way = (RolloutState.RUNNING, RolloutState.PAUSED)


class Look:
    """
    Looks at a rollout.

    Parameters
    ----------
    fleet : Fleet
    work : Work
    """

    def __init__(self, fleet: Fleet, work: Work) -> None:
        row = work.row
        self._fleet = fleet
        self._work = work
        self._now_ns = fleet.wall()
        self._name = name_of(row.number)
        self.request = _decode(row.plan, type=RolloutRequest)
        self._telling = Telling(fleet, work, self.request)
        self._promoted = self._has_failed = False

    def all(self) -> list[Raised]:
        """Do what is due; return the devices whose desired document changed."""
        self._judge_devices()
        state = self._work.row.state
        if state in (*_under_way, RolloutState.FINISHED):
            told = self._work.told()
            ready = self._ready(told)
            if state in _under_way:
                self._decide(told, ready)
            elif self._has_failed and not self._work.row.reason:
                self._decide_late(told)
            row = self._work.row
            open_still = row.state == RolloutState.RUNNING or (row.state == RolloutState.FINISHED and not row.reason)
            if open_still and not self._promoted:
                self._telling.tell_next(told, ready)
        if self._work.row.restoring and self._telling.restore():
            self._work.change(restoring=False)
            self._note("restore", "every device was told to go back to what it had before")
        return self._telling.raised

    # ------------------------------------------------------------------ devices

    def _judge_devices(self) -> None:
        deadline_ns = self._now_ns - int(self.request.deadline * NANOSECONDS)
        proving = self._work.row.state in _under_way
        cases = self._work.to_judge(deadline_ns, done=proving)  # once it is finished, what is done stays done
        self._work.load(told.device for told, _, _ in cases if told.back == Back.GOING)
        for told, document, came_ns in cases:
            device = self._fleet.devices.get(told.device)
            if device is None:
                self._work.forget_device(told.device)
                continue
            try:
                report = None if document is None else _decode(document, type=Report)
                if told.back == Back.GOING:
                    self._telling.look_back(told, report, came_ns)
                else:
                    self._judge(told, device, report, came_ns)
            except SQLAlchemyError:
                raise
            except Exception as error:  # noqa: BLE001 - what one device says must not hold up the others; it is told
                self._cannot_judge(told, came_ns, error)
        if proving:
            gone = [device.device for device in self._fleet.devices.values() if device.state is State.UNAVAILABLE]
            for told in self._work.done_among(gone):
                self._judge(told, self._fleet.devices[told.device], self._telling.report(told.device), told.judged_ns)

    def _cannot_judge(self, told: ToldRow, came_ns: int, error: Exception) -> None:
        """Count a device that says what nobody can judge as failed, until it says something else of the way back."""
        reason = f"what it reports cannot be judged: {printable(str(error))[:300]}"
        _log.warning("rollout %s: %s: %s", self._name, told.device, reason)
        if told.back != Back.GOING:
            self._has_failed = True
            failed = {"state": DeviceState.FAILED, "since_ns": self._now_ns, "step": "failed", "reason": reason}
            self._work.change_device(told.device, **failed)
            self._work.note(self._now_ns, CATALOG, "device failed", f"{told.device}: {reason}"[:500])
            self._telling.send_back(told)
        self._work.change_device(told.device, judged_ns=came_ns)

    def _judge(self, told: ToldRow, device: Device, report: Report | None, came_ns: int) -> None:
        before = Told(DeviceState(told.state), told.since_ns, told.revision, told.restarts)
        verdict = judge(
            self._telling.target,
            before,
            report,
            silent=self._silence(device),
            now_ns=self._now_ns,
            deadline=self.request.deadline,
            probation=lambda: self._telling.probation(told.device),
            wait=self._telling.wait(told.device),
        )
        texts = {"step": printable(verdict.step), "reason": printable(verdict.reason)}
        verdict = verdict._replace(**texts, restarts=max(0, min(verdict.restarts, LARGEST_RESTARTS)))
        state = verdict.state
        fields: dict[str, object] = {"judged_ns": came_ns, "step": verdict.step[:32], "restarts": verdict.restarts}
        if state is not DeviceState.DONE and self._overridden(told):
            state = DeviceState.OVERRIDDEN
            self._work.choose(told.device, 0, "")
            verdict = verdict._replace(reason="a person configured another version", log=())
        if state is DeviceState.CHOSEN:
            fields["reason"] = verdict.reason
        elif state is not before.state:
            log = _encode(verdict.log).decode() if verdict.log else ""
            fields |= {"state": state, "since_ns": self._now_ns, "reason": verdict.reason, "log": log}
        if self._telling.target.shadow and report is not None:
            algorithm = report.algorithms.get(self._telling.target.algorithm)
            if algorithm is not None and algorithm.shadow is not None:
                fields["shadow"] = _encode(algorithm.shadow).decode()
        if fields != {name: getattr(told, name) for name in fields}:
            self._work.change_device(told.device, **fields)
        if state is not before.state and state in (DeviceState.FAILED, DeviceState.OVERDUE):
            self._has_failed = True
        if state is DeviceState.FAILED:
            detail = f"{told.device}: {verdict.reason}"
            self._work.note(self._now_ns, CATALOG, "device failed", detail[:500])
            self._telling.send_back(told)

    def _silence(self, device: Device) -> float:
        """Tell how long a device has not been heard [s]; 0 for one that is there, or that nobody can judge."""
        if self._fleet.available(device) is not False:
            return 0.0
        if device.seen != NEVER:
            return self._fleet.monotonic() - device.seen
        return (self._now_ns - (device.last_seen_ns or 0)) / NANOSECONDS

    def _overridden(self, told: ToldRow) -> bool:
        """Tell whether a person configured another version since a device was told."""
        if not told.revision:
            return False
        text = self._work.choice(told.device)
        choice = _decode(text, type=Choice) if text else None
        if choice is None or choice.owner != self._work.row.number:
            return False
        return not counts(choice, self._telling.assignment(told.device))

    # ------------------------------------------------------------------ the rollout

    def _ready(self, told: dict[str, str]) -> list[Member]:
        """Find who is there and was not told yet, in order; note how many are away."""
        algorithm = None if self.request.add else self._work.row.algorithm
        newer = self._work.newer()
        overtaken: set[str] = set()
        for row in newer:
            request = _decode(row.plan, type=RolloutRequest)
            there = self._work.members(request.to, None if request.add else row.algorithm)
            overtaken.update(member.device for member in there)
        everybody = self._work.members(self.request.to, algorithm)
        own = [member for member in everybody if member.device not in overtaken]
        waiting = [member for member in own if member.device not in told]
        ready = []
        for member in waiting:
            device = self._fleet.devices.get(member.device)
            if device is not None and self._fleet.available(device):
                ready.append(member)
        members, away = len(own), len(waiting) - len(ready)
        if (members, away) != (self._work.row.members, self._work.row.away):
            self._work.change(members=members, away=away)
        settled = all(row.state == RolloutState.FINISHED for row in newer)
        if everybody and not own and (settled or self._work.row.state in _under_way):
            self._finish(f"superseded by {', '.join(name_of(row.number) for row in newer)}")
        return in_order(self._name, ready)

    def _decide(self, told: dict[str, str], ready: list[Member]) -> None:
        row = self._work.row
        if row.state not in _under_way:
            return
        states = self._states()
        failed = failures(states)
        chosen, done = states.get(DeviceState.CHOSEN, 0), states.get(DeviceState.DONE, 0)
        overridden = states.get(DeviceState.OVERRIDDEN, 0)
        members = max(row.members, len(told))
        standing = Standing(members, self._telling.stage, chosen, done + overridden, failed, len(ready), row.soaking_ns)
        due = next_step(self.request, standing, self._now_ns)
        if due is Next.FAIL:
            self._fail(failed, members)
        elif row.state == RolloutState.RUNNING:
            self._go_on(due, standing)

    def _decide_late(self, told: dict[str, str]) -> None:
        """Stop a finished rollout where too many of those who came later failed."""
        failed, members = failures(self._states()), max(self._work.row.members, len(told))
        if failed > allowed_failures(self.request, self._telling.stage, members):
            self._fail(failed, members)

    def _states(self) -> dict[DeviceState, int]:
        return {DeviceState(key): count for key, count in self._work.counts().items() if not key.startswith("back:")}

    def _go_on(self, due: Next, standing: Standing) -> None:
        row = self._work.row
        if due is Next.SOAK:
            self._work.change(soaking_ns=self._now_ns, changed_ns=self._now_ns)
            done = f"{standing.done} done, {standing.failures} failed"
            self._note("stage full" if row.stage >= 0 and not row.shadowing else "shadows run", done)
        elif due is Next.ADVANCE:
            self._change(stage=row.stage + 1, soaking_ns=None)
            self._note("next stage", f"{self.request.stages[row.stage + 1].percent:g} %")
        elif due is Next.FINISH:
            self._finish("")
        elif due is Next.JUDGE_SHADOW and self.request.shadow is not None and self.request.shadow.promote_when_equal:
            comparison = self.compared(self.request.shadow)
            if comparison.verdict == "equal":
                self.promote(CATALOG, "both versions are equal", comparison)
            elif comparison.verdict == "different":
                reason = "; ".join(comparison.reasons)
                self._change(state=RolloutState.PAUSED, reason=f"not promoted: {reason}")
                self._note("pause", f"not promoted: {reason}"[:500])

    def compared(self, limits: ShadowTest) -> Comparison:
        """Add up what the shadows came to."""
        reports = [(device, _decode(text, type=ShadowReport)) for device, text in self._work.shadows()]
        return total(reports, limits)

    def promote(self, author: str, reason: str, comparison: Comparison) -> list[Raised]:
        """End the time of the shadow, and begin the stages; return the devices whose desired document changed."""
        everybody = self._work.rows()
        self._work.load(told.device for told in everybody)
        for told in everybody:
            self._telling.send_back(told)
        self._work.forget_devices()
        text = _encode(comparison).decode()
        self._change(shadowing=False, stage=0, soaking_ns=None, comparison=text, state=RolloutState.RUNNING, reason="")
        self._work.note(self._now_ns, author, "promote", reason[:500])
        self._promoted = True
        return self._telling.raised

    def _finish(self, reason: str) -> None:
        self._change(state=RolloutState.FINISHED, reason=reason, soaking_ns=None)
        members, away = self._work.row.members, self._work.row.away
        late = f", of them {away} that are away and are told in portions when they come" if away else ""
        self._note("finish", reason or f"{members} devices{late}")

    def _fail(self, failed: int, members: int) -> None:
        of = target(self.request, self._telling.stage, members)
        allowed = allowed_failures(self.request, self._telling.stage, members)
        reason = f"{failed} of the {of} devices of {'the shadow' if self._telling.stage < 0 else 'this stage'} failed, "
        reason += f"allowed are {allowed}"
        self._change(state=RolloutState.FAILED, reason=reason, restoring=True, soaking_ns=None)
        self._note("fail", f"{reason}; all go back")

    def _change(self, **fields: object) -> None:
        self._work.change(**fields, revision=self._work.row.revision + 1, changed_ns=self._now_ns)

    def _note(self, action: str, detail: str) -> None:
        self._work.note(self._now_ns, CATALOG, action, detail)
