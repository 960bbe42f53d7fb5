"""
A simulated switch: carries out orders that it may obey, refuses the others with the reason, reports where it stands.

Where it stands: an algorithm on the agent at a switch; a driver of real hardware takes its place with the same orders
and reports (`algorithms.api.switching`). It refuses what is not for its network, stale, repeated, out of order, given
under an old lease, or a closing while it is locked. The agent has already refused what is addressed to others, retained
or expired (`agent.commands`), and where a policy is in force what is not signed by somebody who may give it.

Rules:

- It moves for its operating time and reports before and after; nothing it reports is said before it is so, unless it
  is told to simulate a liar.
- It reports at every change and every now and then, so that silence can be told from standing still.
- What it has obeyed and what locks it outlive a restart. An order it knows, delivered again, is answered with where it
  stands now and changes nothing.
- Its own clock alone counts: an order issued ahead of it is refused. Movement, protection and reports go by the time
  that passes between ticks, so that a clock that is set back holds nothing up.
"""

from collections import deque
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError, Problem, SettingsError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network_operation import SwitchState
from algorithms.api.records import Command, Event, Kind, Record
from algorithms.api.samples import SampleBlock
from algorithms.api.settings import Setting, problems_of, read_settings
from algorithms.api.switching import (
    CLAIM,
    CLOSE,
    CONTENT,
    OPEN,
    UNLOCK,
    VERBS,
    Cause,
    Order,
    Outcome,
    SwitchReport,
    is_believable,
    joined_tags,
    read_order,
    report_record,
    tags_of,
)
from algorithms.api.wire import NANOSECONDS, time_text
from algorithms.builtin.switching.protection_cycle import Act, ProtectionCycle

REFUSALS = 30
"""Refusals, and answers to orders that are known already, told within a minute at most: the disk keeps them."""
AHEAD = 2.0
"""An order may be issued so far ahead of the switch's own clock [s]."""
REMEMBERED = 64
"""Orders remembered, so that one that is repeated is known."""
SOUND, JAMS, SILENT, LIES = "sound", "jams", "silent", "lies"


class SwitchMemory(msgspec.Struct, frozen=True, tag="switch"):
    """What outlives a restart; later versions may add fields and must go on writing these."""

    report: SwitchReport
    commands: tuple[str, ...]


class Switch(Algorithm):
    """A switch that is not there."""

    info: ClassVar[AlgorithmInfo] = AlgorithmInfo(
        name="switch",
        version="1.0.0",
        summary="A simulated switch: carries out authorised, ordered commands and reports where it stands.",
        consumes=(Kind.COMMAND, Kind.EVENT),
        produces=(Kind.RESULT,),
        contents=(CONTENT,),
        settings=(
            Setting("switch", "text", "Id of the switch in the network model.", minimum=1, maximum=64),
            Setting("network", "text", "Id of the network it belongs to.", minimum=1, maximum=64),
            Setting(
                "state", "text", "Where it stands at the first start.", default="closed", choices=("open", "closed")
            ),
            Setting(
                "operating_time",
                "number",
                "From an order to the contacts.",
                unit="s",
                default=0.3,
                minimum=0.0,
                maximum=60.0,
            ),
            Setting(
                "report_interval",
                "number",
                "It reports at least this often.",
                unit="s",
                default=10.0,
                minimum=1.0,
                maximum=3600.0,
            ),
            Setting(
                "trips_on",
                "list",
                "Kinds of event at which its protection picks up; empty for a switch without protection.",
                default=[],
                maximum=16,
            ),
            Setting("trip_terminal", "text", "Only events of this terminal count; empty for all.", default=""),
            Setting(
                "trip_delay", "number", "From the event to the trip.", unit="s", default=0.0, minimum=0.0, maximum=60.0
            ),
            Setting("dead_times", "list", "Pause before each reclosure of the protection [s].", default=[], maximum=8),
            Setting(
                "reclaim_time",
                "number",
                "Quiet time after which reclosing starts anew.",
                unit="s",
                default=10.0,
                minimum=0.0,
                maximum=3600.0,
            ),
            Setting(
                "behaviour",
                "text",
                "What kind of switch is simulated.",
                default=SOUND,
                choices=(SOUND, JAMS, SILENT, LIES),
            ),
        ),
        tick_interval=0.05,
        checkpoint_interval=60.0,
    )

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002 - the same on every device
        """Read the settings and take up where it stood; see `Algorithm.start`."""
        problems = problems_of(self.info.settings, self.settings)
        dead_times = self.settings.get("dead_times", [])
        if not problems and not all(isinstance(value, int | float) and 0 <= value <= 600 for value in dead_times):
            problems.append(Problem("settings.dead_times", "numbers from 0 to 600 [s]", str(dead_times)[:80]))
        if not problems and not all(isinstance(kind, str) for kind in self.settings.get("trips_on", [])):
            problems.append(Problem("settings.trips_on", "kinds of event", str(self.settings["trips_on"])[:80]))
        if problems:
            raise SettingsError(problems)
        values = read_settings(self.info.settings, self.settings)
        self._switch, self._behaviour = str(values["switch"]), str(values["behaviour"])
        self._moving_ns = round(values["operating_time"] * NANOSECONDS)
        self._interval_ns = round(values["report_interval"] * NANOSECONDS)
        self._trips_on, self._trip_terminal = frozenset(values["trips_on"]), str(values["trip_terminal"])
        self._cycle = ProtectionCycle(values["trip_delay"], dead_times, values["reclaim_time"])
        self._report = SwitchReport(network=str(values["network"]), state=SwitchState(values["state"]))
        self._commands: tuple[str, ...] = ()
        self._true = self._report.state
        self._moving: tuple[int, SwitchState, str] | None = None
        self._refused_ns: deque[int] = deque(maxlen=REFUSALS)
        self._now_ns: int | None = None
        self._steady_ns = 0
        self._told_ns: int | None = None
        if restored is not None:
            self._restore(restored)

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        """Obey or refuse an order, or let the protection pick up."""
        if isinstance(record, Command):
            return self._obey(record) if record.recipient == self._switch else ()
        if isinstance(record, Event) and self._true is SwitchState.CLOSED and self._picks_up(record):
            self._cycle.picked_up(self._steady_ns)
            return self._protect()
        return ()

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Finish what moves, let the protection act, and report now and then."""
        passed = 0 if self._now_ns is None else now_ns - self._now_ns
        self._now_ns = now_ns
        self._steady_ns += max(passed, 0)
        told: list[Record] = []
        if self._moving is not None and self._steady_ns >= self._moving[0]:
            told += self._arrive(*self._moving[1:])
        told += self._protect()
        if self._told_ns is None or self._steady_ns - self._told_ns >= self._interval_ns:
            told += self._tell()
        return told

    def checkpoint(self) -> bytes:
        """Return where it stands, what it has obeyed and what locks it."""
        report = self._report
        if self._moving is not None:
            report = msgspec.structs.replace(report, state=self._true)
        return msgspec.msgpack.encode(SwitchMemory(report, self._commands))

    # ---- orders

    def _obey(self, command: Command) -> Sequence[Record]:
        order = read_order(command)
        if self._is_known(command, order):
            return self._tell() if self._may_answer() else ()
        refusal = self._refusal(command, order)
        if refusal or order is None:
            return self._refuse(command, refusal)
        self._commands = (*self._commands, command.id)[-REMEMBERED:]
        self._change(token=order.token, sequence=order.sequence)
        if command.verb in (CLAIM, UNLOCK):
            if command.verb == UNLOCK:
                self._change(tag=joined_tags(tags_of(self._report.tag) - tags_of(order.tag)))
            return self._answer(command, Outcome.DONE, "")
        wanted = SwitchState.OPEN if command.verb == OPEN else SwitchState.CLOSED
        if order.tag and wanted is SwitchState.OPEN:
            self._change(tag=order.tag)
        if wanted is SwitchState.OPEN:
            self._cycle.opened_by_order()
        if self._true is wanted:
            if wanted is SwitchState.OPEN:  # whoever opened it closes it, also where its protection was first
                self._change(cause=Cause.COMMAND, **_mover(command, order))
            return self._answer(command, Outcome.DONE, "")
        if self._behaviour == LIES:
            self._change(state=wanted, cause=Cause.COMMAND, **_mover(command, order))
            return self._answer(command, Outcome.DONE, "")
        self._moving = self._steady_ns + self._moving_ns, wanted, command.id[:64]
        self._change(state=None, cause=Cause.COMMAND, **_mover(command, order))
        told = list(self._answer(command, Outcome.UNDER_WAY, ""))
        return [*told, *self._arrive(wanted, command.id[:64])] if not self._moving_ns else told

    def _refuse(self, command: Command, reason: str) -> Sequence[Record]:
        return self._answer(command, Outcome.REFUSED, reason) if self._may_answer() else ()

    def _may_answer(self) -> bool:
        """Tell whether what is not carried out may be answered, and count it."""
        full = len(self._refused_ns) == REFUSALS
        if full and self._steady_ns - self._refused_ns[0] < 60 * NANOSECONDS:
            return False
        self._refused_ns.append(self._steady_ns)
        return True

    def _is_known(self, command: Command, order: Order | None) -> bool:
        """Tell whether an order is one that was obeyed, delivered again; not another one under its id."""
        if order is None or order.network != self._report.network or command.id not in self._commands:
            return False
        return (order.token, order.sequence) <= (self._report.token, self._report.sequence)

    def _refusal(self, command: Command, order: Order | None) -> str:
        """Say why an order is not obeyed; nothing where it is."""
        if command.verb not in VERBS:
            return f"expected one of {', '.join(VERBS)}, found {command.verb[:40]}"
        if order is None:
            return "expected network, token and sequence, found other arguments"
        report, now_ns = self._report, self._now_ns
        if now_ns is None:
            return "this switch does not know the time yet"
        in_force = report.token if is_believable(report.token, now_ns) else -1
        same_lease = order.token == in_force
        under, named = tags_of(report.tag), tags_of(order.tag)
        locked = f"locked open under {report.tag}" if report.tag else "not locked"
        reasons = (
            (order.network != report.network, f"expected an order for {report.network}, not {order.network[:64]}"),
            (command.expires_ns <= now_ns, f"expired at {time_text(command.expires_ns)}"),
            (
                command.issued_ns > now_ns + round(AHEAD * NANOSECONDS),
                f"issued at {time_text(command.issued_ns)}, and here it is {time_text(now_ns)}: set the clocks",
            ),
            (command.id in self._commands, "given before: an order is carried out once"),
            (
                not is_believable(order.token, now_ns),
                f"given under lease {order.token}, a number for a later time than {time_text(now_ns)}: set the clocks",
            ),
            (order.token < in_force, f"given under lease {order.token}, and {in_force} is in force"),
            (
                same_lease and order.sequence <= report.sequence,
                f"number {order.sequence} comes after number {report.sequence}",
            ),
            (self._moving is not None and command.verb != CLAIM, "still moving"),
            (command.verb == CLOSE and bool(report.tag), locked),
            (command.verb == OPEN and bool(named) and not under <= named, locked),
            (command.verb == UNLOCK and not (named <= under if named else not under), locked),
        )
        return next((reason for speaks_against, reason in reasons if speaks_against), "")

    def _answer(self, command: Command, outcome: Outcome, reason: str) -> Sequence[Record]:
        self._change(command=command.id[:64], outcome=outcome, reason=reason)
        return self._tell()

    # ---- movement

    def _picks_up(self, event: Event) -> bool:
        here = self._trip_terminal in ("", event.terminal)
        return here and event.kind in self._trips_on and event.end_ns is None

    def _arrive(self, wanted: SwitchState, command: str) -> Sequence[Record]:
        self._moving = None
        self._change(command=command, reason="")  # another order may have been refused meanwhile
        if self._behaviour == JAMS:
            self._change(state=self._true, outcome=Outcome.FAILED, reason=f"jammed {self._true}")
            return self._tell()
        self._true = wanted
        if wanted is SwitchState.CLOSED:
            self._cycle.closed_by_order(self._steady_ns)
        self._change(state=wanted, lockout=False, outcome=Outcome.DONE)
        return self._tell()

    def _protect(self) -> Sequence[Record]:
        told: list[Record] = []
        while (act := self._cycle.act(self._steady_ns)) is not None:
            self._true = SwitchState.OPEN if act is Act.TRIP else SwitchState.CLOSED
            self._moving = None
            cause = Cause.PROTECTION if act is Act.TRIP else Cause.RECLOSING
            self._change(state=self._true, cause=cause, moved_by="", moved_for="", moved_under=0)
            self._change(lockout=self._cycle.lockout, reclosing=self._cycle.reclosing)
            told += self._tell()
        return told

    # ---- reports

    def _change(self, **fields: object) -> None:
        self._report = msgspec.structs.replace(self._report, **fields)

    def _tell(self) -> Sequence[Record]:
        if self._now_ns is None:
            return ()  # the first tick tells
        self._told_ns = self._steady_ns
        if self._behaviour == SILENT:
            return ()
        self._change(reclosing=self._cycle.reclosing)
        return (report_record(self._switch, self._now_ns, self._report),)

    def _restore(self, restored: bytes) -> None:
        try:
            memory = msgspec.msgpack.decode(restored, type=SwitchMemory)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CheckpointError(f"expected the memory of a switch, found: {error}") from error
        if memory.report.network != self._report.network or memory.report.state is None:
            raise CheckpointError(f"expected a switch of {self._report.network}, found one of {memory.report.network}")
        self._report, self._commands = memory.report, memory.commands
        self._true = memory.report.state
        self._cycle.lockout = memory.report.lockout


def _mover(command: Command, order: Order) -> dict[str, object]:
    """Give what is reported of the order by which it moves."""
    return {"moved_by": command.id[:64], "moved_for": order.purpose[:64], "moved_under": order.token}
