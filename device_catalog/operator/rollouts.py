"""``tresma rollout ...`` and ``tresma group ...``: bring versions to meters in stages; say which belong together."""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.live import Live

from device_catalog.contract.groups import GroupChange
from device_catalog.contract.register import DeviceKind
from device_catalog.contract.rollout_progress import RolloutDetail
from device_catalog.contract.rollouts import DeviceState, Order, RolloutOrder, RolloutState
from device_catalog.operator.algorithm_commands import AddCommand
from device_catalog.operator.errors import Answered, OperatorError, UsageError
from device_catalog.operator.output import drawing, note, say, say_json
from device_catalog.operator.rollout_catalog import RolloutCatalog
from device_catalog.operator.rollout_picture import listing, picture, progress_line, started, told_table
from device_catalog.operator.rollout_request import request_of
from device_catalog.operator.settings import KEYS, read_settings

LOOK = 1.0
"""How often a rollout is looked at while it is watched [s]."""

LISTED = 50

_ENDED = (RolloutState.FINISHED, RolloutState.ABORTED, RolloutState.FAILED)

_START = """\
A rollout goes from stage to stage: so many per cent of the devices get the version; when all of them have proved it
(or as many as --max-failures allows have not), they are watched for the time of --soak; then comes the next stage.
Who says nothing within --deadline counts as failed. More failures than allowed stop it, and every device it touched
goes back to the version it had before. What you configured stays as it is: the rollout's choice stands beside it, and
whatever version you configure for a device afterwards counts instead.

Of one area, whose meters' readings are estimated together, one device changes at a time (--per-area).

examples:
  tresma group add pilot m-0001 m-0002 m-0003
  tresma rollout start voltage-band==1.2.0 --to pilot --percent 100 --soak 1h --watch
  tresma rollout start voltage-band==1.2.0 --kind meter --percent 1,10,100 --soak 1h,12h,0s --max-failures 1%
  tresma rollout start phasors==2.0.0 --to pilot --shadow --shadow-soak 1d --max-difference 1e-6
      runs beside the old version, compares what both make, and waits for `tresma rollout promote`
  tresma rollout start voltage-band==1.2.0 --to pilot --add --set limit=1.1
      also where it does not run yet
  tresma rollout start tresma-rpi==1.3.0 --to pilot --percent 1,10,100 --soak 1d
      an image of meters' root slots; each restarts into it, at a time of the day that its configuration allows
"""

_STATUS = """\
examples:
  tresma rollout status                      the newest
  tresma rollout status r-7 --watch          until it ends; exit status 1 if it fails or is aborted
  tresma rollout status r-7 --devices failed which, and why?
"""

_GROUP = """\
A device may belong to many groups; a group is there as long as a device belongs to it.

examples:
  tresma group add pilot m-0001 m-0002
  tresma devices list --network feeder-7 --json | jq -r .device | xargs tresma group add feeder-7
  tresma group show pilot
  tresma group remove pilot m-0002
"""


def add_commands(subjects: Any, command: AddCommand, epilog: str) -> None:
    """Add ``rollout`` and ``group`` to the command line."""
    subject = subjects.add_parser(
        "rollout", help="bring a version of an algorithm, or an image, to devices, in stages", epilog=epilog
    )
    commands = subject.add_subparsers(required=True, metavar="start|status|list|pause|resume|abort|promote")
    _start_command(commands, command)

    status = command(commands, "status", "show how far a rollout is, and what failed", _STATUS)
    status.add_argument("rollout", metavar="ROLLOUT", nargs="?", help="such as r-7; the newest where none is named")
    status.add_argument("--watch", action="store_true", help="go on showing it until it ends")
    states = [state.value for state in DeviceState]
    status.add_argument("--devices", nargs="?", const="", choices=["", *states], help="list the devices (in one state)")
    _calls(status, _status)

    listed = command(commands, "list", "list rollouts, newest first", "example:\n  tresma rollout list --state running")
    listed.add_argument("--algorithm", metavar="NAME")
    listed.add_argument("--state", choices=[state.value for state in RolloutState])
    _calls(listed, _list)

    for order, text in (
        (Order.PAUSE, "hold a rollout where it is; failures still stop it"),
        (Order.RESUME, "go on with a rollout that was paused; its soak begins anew"),
        (Order.ABORT, "end a rollout, and bring the version before back wherever it was"),
        (Order.PROMOTE, "begin the stages of a version that ran beside the one in force"),
    ):
        parser = command(commands, order.value, text, f"example:\n  tresma rollout {order.value} r-7")
        parser.add_argument("rollout", metavar="ROLLOUT", help="such as r-7")
        parser.add_argument("--reason", default="", metavar="TEXT", help="for those who read it later")
        if order is Order.PROMOTE:
            parser.add_argument("--anyway", action="store_true", help="although they were not found equal")
        _calls(parser, _ordering(order))

    subject = subjects.add_parser("group", help="say which devices belong together", epilog=epilog)
    commands = subject.add_subparsers(required=True, metavar="add|remove|show|list")
    for name, text in (("add", "let devices join a group"), ("remove", "let devices leave a group")):
        parser = command(commands, name, text, _GROUP)
        parser.add_argument("group", metavar="GROUP", help="letters, digits, _ and -, at most 64")
        parser.add_argument("device", metavar="ID", nargs="+")
        _calls(parser, _changing(name))
    show = command(commands, "show", "list the devices of a group", _GROUP)
    show.add_argument("group", metavar="GROUP")
    _calls(show, _show_group)
    _calls(command(commands, "list", "list the groups there are", _GROUP), _list_groups)


def _start_command(commands: Any, command: AddCommand) -> None:
    start = command(commands, "start", "bring a signed algorithm or image to devices, stage by stage", _START)
    start.add_argument("what", metavar="NAME==VERSION", help="as `tresma repository push` brought it")
    who = start.add_argument_group("to whom (all that is said must fit)")
    who.add_argument("--to", metavar="GROUP", action="append", default=[], help="members of a group; may be repeated")
    who.add_argument("--device", metavar="ID", action="append", default=[], help="one by name; may be repeated")
    who.add_argument("--kind", choices=[kind.value for kind in DeviceKind])
    for name in ("tenant", "network", "area"):
        who.add_argument(f"--{name}", metavar="NAME")
    who.add_argument("--using", metavar="ALGORITHM", help="that run this algorithm")
    who.add_argument("--fixed", action="store_true", help="those of now only; otherwise who fits later gets it too")
    how = start.add_argument_group("how")
    how.add_argument("--percent", default="1,10,100", metavar="P,P,...", help="of the devices, rising (1,10,100)")
    how.add_argument("--soak", default="1h", metavar="T[,T,...]", help="how long each stage is watched (1h)")
    how.add_argument(
        "--max-failures", default="1%", metavar="N|P%", help="that do not stop a stage (1%%, rounded down)"
    )
    how.add_argument("--deadline", default="30m", metavar="T", help="after which silence is failure (30m)")
    how.add_argument("--probation", metavar="T", help="how long it has to prove itself on each (as configured there)")
    how.add_argument("--per-area", default="1", metavar="N|P%|any", help="of one area changing at once (1)")
    how.add_argument("--per-network", default="any", metavar="N|P%|any", help="of one network changing at once (any)")
    how.add_argument("--add", action="store_true", help="also to devices that do not run the algorithm")
    how.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a setting, where it is added")
    how.add_argument("--supersede", action="store_true", help="take devices over from a rollout that is under way")
    how.add_argument("--watch", action="store_true", help="show how it goes until it ends")
    beside = start.add_argument_group("beside the version in force first")
    beside.add_argument("--shadow", action="store_true", help="run it beside, compare, and wait to be promoted")
    beside.add_argument("--shadow-soak", metavar="T", help="for how long (1h)")
    beside.add_argument("--shadow-percent", metavar="P", help="on how many per cent of the devices (100)")
    beside.add_argument("--promote-when-equal", action="store_true", help="begin the stages without being asked")
    beside.add_argument("--min-compared", metavar="N", help="records that must have been compared (100)")
    for name, text in (
        ("differing", "of the records may differ (0%%)"),
        ("missing", "of the records it may fail to make (0%%)"),
        ("extra", "of the records it alone may make (0%%)"),
    ):
        beside.add_argument(f"--max-{name}", metavar="P%", help=text)
    beside.add_argument("--max-difference", metavar="X", help="smaller relative differences count as none")
    beside.add_argument("--max-processor", metavar="X", help="times the processor time of the one in force (1.5)")
    beside.add_argument("--max-memory", metavar="X", help="times its memory (1.5)")
    beside.add_argument("--max-crashes", metavar="N", help="crashes (0)")
    _calls(start, _start)


def _calls(parser: argparse.ArgumentParser, call: Callable[[argparse.Namespace, RolloutCatalog], None]) -> None:
    def command(options: argparse.Namespace) -> None:
        with RolloutCatalog(read_settings({name: getattr(options, name, None) for name in KEYS})) as catalog:
            call(options, catalog)

    parser.set_defaults(command=command)


def _start(options: argparse.Namespace, catalog: RolloutCatalog) -> None:
    detail = catalog.start(request_of(options))
    name = detail.summary.rollout
    if options.watch:
        if not options.json:
            for line in started(detail):
                note(line)
        _watch(options, catalog, name)
        return
    if options.json:
        say_json(detail)
        return
    for line in started(detail):
        say(line)
    say(f"see how it goes: tresma rollout status {name} --watch")


def _status(options: argparse.Namespace, catalog: RolloutCatalog) -> None:
    name = options.rollout
    if not name:
        newest = catalog.rollouts({}, 1)
        if not newest:
            raise OperatorError("there is no rollout yet; `tresma rollout start --help` says how one begins")
        name = newest[0].rollout
    if options.devices is not None:
        told = list(catalog.told(name, options.devices))
        if options.json:
            for item in told:
                say_json(item)
            return
        drawing(160).print(told_table(told))
        note(f"{len(told)} device{'' if len(told) == 1 else 's'}")
    elif options.watch:
        _watch(options, catalog, name)
    else:
        detail, _ = catalog.rollout(name)
        if options.json:
            say_json(detail)
            return
        drawing(160).print(picture(detail, datetime.now(UTC)))


def _watch(options: argparse.Namespace, catalog: RolloutCatalog, name: str) -> None:
    """Show a rollout until it has ended and everybody is where they should be."""
    if sys.stdout.isatty() and not options.json:
        with Live(console=drawing(160), auto_refresh=False) as live:
            state = _follow(catalog, name, lambda detail: _redraw(live, picture(detail, datetime.now(UTC))))
    else:
        state = _follow(catalog, name, _line_by_line(as_json=options.json))
    if state is not RolloutState.FINISHED:
        raise Answered(f"{name} {state.value}")


def _redraw(live: Live, drawn: RenderableType) -> None:
    live.update(drawn, refresh=True)


def _line_by_line(*, as_json: bool) -> Callable[[RolloutDetail], None]:
    """Say only what is new."""
    before = ""

    def show(detail: RolloutDetail) -> None:
        nonlocal before
        line = progress_line(detail.summary)
        if line == before:
            return
        before = line
        if as_json:
            say_json(detail)
        else:
            say(f"{datetime.now(UTC):%H:%M:%S}  {line}")
            sys.stdout.flush()

    return show


def _follow(catalog: RolloutCatalog, name: str, show: Callable[[RolloutDetail], None]) -> RolloutState:
    while True:
        detail, _ = catalog.rollout(name)
        show(detail)
        summary = detail.summary
        if summary.state in _ENDED and not summary.counts.going_back and not summary.restoring:
            return summary.state
        time.sleep(LOOK)


def _list(options: argparse.Namespace, catalog: RolloutCatalog) -> None:
    query = {name: getattr(options, name) for name in ("algorithm", "state") if getattr(options, name)}
    found = catalog.rollouts(query, LISTED)
    if options.json:
        for item in found:
            say_json(item)
        return
    if found:
        drawing(160).print(listing(found, datetime.now(UTC)))
    note(f"{len(found)} rollout{'' if len(found) == 1 else 's'}{' (the newest)' if len(found) == LISTED else ''}")


def _ordering(order: Order) -> Callable[[argparse.Namespace, RolloutCatalog], None]:
    def give(options: argparse.Namespace, catalog: RolloutCatalog) -> None:
        _, tag = catalog.rollout(options.rollout)
        anyway = getattr(options, "anyway", False)
        detail = catalog.order(options.rollout, RolloutOrder(order, options.reason, anyway), tag)
        if options.json:
            say_json(detail)
            return
        drawing(160).print(picture(detail, datetime.now(UTC), devices=False))

    return give


def _changing(verb: str) -> Callable[[argparse.Namespace, RolloutCatalog], None]:
    def change(options: argparse.Namespace, catalog: RolloutCatalog) -> None:
        names = tuple(options.device)
        wanted = GroupChange(add=names) if verb == "add" else GroupChange(remove=names)
        changed = catalog.change_group(options.group, wanted)
        if options.json:
            say_json(changed)
            return
        moved = changed.added if verb == "add" else changed.removed
        word = "joined" if verb == "add" else "left"
        say(f"{len(moved)} {word} {options.group}; {changed.devices} belong to it now")

    return change


def _show_group(options: argparse.Namespace, catalog: RolloutCatalog) -> None:
    names = list(catalog.group(options.group))
    if not names:
        raise UsageError(f"no device belongs to {options.group}; `tresma group list` shows the groups there are")
    if options.json:
        say_json({"group": options.group, "devices": names})
        return
    for name in names:
        say(name)


def _list_groups(options: argparse.Namespace, catalog: RolloutCatalog) -> None:
    count = 0
    for entry in catalog.groups():
        count += 1
        if options.json:
            say_json(entry)
        else:
            say(f"{entry.group}  {entry.devices} device{'' if entry.devices == 1 else 's'}")
    if not options.json:
        note(f"{count} group{'' if count == 1 else 's'}")
