"""
The operator's console command: ``tresma devices ...``, ``watch``, ``recordings ...``, ``algorithm ...`` and so on.

Reads options, finds catalog and token, calls the command, and alone decides the exit status: 0 done; 1 refused,
unreachable or gone wrong; 2 the command line or a file cannot be understood.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from device_catalog.contract.register import DeviceKind
from device_catalog.operator import devices
from device_catalog.operator.access import add_commands as add_access
from device_catalog.operator.access import add_device_commands as add_device_access
from device_catalog.operator.algorithm_commands import add_commands as add_algorithm
from device_catalog.operator.catalog import Catalog
from device_catalog.operator.commissioning import add_command as add_commissioning
from device_catalog.operator.errors import Answered, OperatorError, UsageError
from device_catalog.operator.faults import add_commands as add_faults
from device_catalog.operator.flash import add_commands as add_flash
from device_catalog.operator.history import add_commands as add_history
from device_catalog.operator.image_commands import add_commands as add_image
from device_catalog.operator.network_arguments import add_commands as add_network
from device_catalog.operator.output import say_error
from device_catalog.operator.policy_commands import add_commands as add_policy
from device_catalog.operator.recordings_arguments import add_commands as add_recordings
from device_catalog.operator.report import add_commands as add_report
from device_catalog.operator.rollouts import add_commands as add_rollouts
from device_catalog.operator.settings import KEYS, read_settings
from device_catalog.operator.support_arguments import add_commands as add_support
from device_catalog.operator.trust_commands import add_commands as add_trust
from device_catalog.operator.watch import watch

_DESCRIPTION = """\
Register meters and other devices, tell them what to do, and watch what they measure.

Where the catalog is and who you are comes from options, the environment (TRESMA_CATALOG, TRESMA_TOKEN) or
~/.config/tresma/operator.yaml:

    catalog: https://catalog.example.org
    token_file: /home/me/.config/tresma/token
"""

_EXIT = "Exit status: 0 done; 1 refused, unreachable or gone wrong; 2 the command line or a file is not understood."

_EXAMPLES = f"""\
examples:
  tresma devices add m-0042 --file meter.yaml > m-0042.yaml     register; m-0042.yaml goes onto the meter
  tresma devices list --unavailable                            which are silent?
  tresma devices set m-0042 poll.interval=5                    change one setting while it runs
  tresma flash meter.img.zst /dev/sdb --device m-0042          write the memory card of a meter
  tresma watch m-0042                                 see what it measures
  tresma history show m-0042 --last 1d --step 15min            what did it measure?
  tresma recordings list m-0042                                which events did it record?
  tresma faults list                                           which faults were located, and what became of them?
  tresma support request m-0042 --wait 300                     what is wrong with it? everything in one file
  tresma network check lv.json                                 is a network document right?
  tresma rollout start voltage-band==1.2.0 --to pilot          bring a signed algorithm to a group of meters

{_EXIT}
"""

_ADD_EXAMPLES = """\
The lines printed to standard output are all that the device needs. The credential in them is shown this once.

examples:
  tresma devices add m-0042 --file meter.yaml --output m-0042.yaml
  tresma devices add m-0042 --file meter.yaml terminal=T17 acquisition.nominal_voltage=230
  tresma devices add weather --kind service --description "forecasts of the met office"

a file for a simulated meter:
  brokers: {grid: ["mqtt://broker:1883"], data: ["mqtt://broker:1884"]}
  acquisition: {driver: simulated, sample_rate: 6400, nominal_voltage: 230}
  algorithms: [{algorithm: phasors, settings: {report_rate: 10}}]
  poll: {interval: 30, lease: 100}
"""

_SET_EXAMPLES = """\
With a file, the configuration becomes what the file says; edits are made after that. What changes is shown as
lines that begin with ~ (changed), + (new) or - (gone).

examples:
  tresma devices set m-0042 poll.interval=5
  tresma devices set m-0042 'algorithms[phasors].publish=1' --wait 30
  tresma devices set m-0042 'acquisition.channels[UA].ratio=57.5'
  tresma devices set m-0042 topology=                          takes it out: the default holds again
  tresma devices set m-0042 --file meter.yaml --dry-run        what would change?
"""

_WATCH_EXAMPLES = """\
Latency is the time of arrival less the frame's own instant, which is the middle of its window: it holds half a
window, and the difference of the two clocks. gap/dup counts messages by (device, boot, number): missing so far, and
come more than once.

examples:
  tresma watch
  tresma watch m-0042 --seconds 60
  tresma watch --json | jq '{device, time, f: .frequency[0]}'
  tresma watch --json --all >> messages.jsonl                  what tresma report reads
  tresma watch --grid mqtt://broker:1883 --data mqtt://broker:1884
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Do what the command line says.

    Returns
    -------
    int
        The exit status.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and hasattr(options, "edits") and all("=" in word and not word.startswith("-") for word in rest):
        options.edits += rest  # argparse does not take positionals on both sides of an option
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options.command(options)
        sys.stdout.flush()
    except Answered as answered:
        return answered.exit_status
    except OperatorError as error:
        say_error(error, as_json=options.json)
        return error.exit_status
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # whoever read along has gone, as `head` does; nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    answers = argparse.ArgumentParser(add_help=False)
    answers.add_argument("--json", action="store_true", help="write JSON, for programs")
    common = argparse.ArgumentParser(add_help=False, parents=[answers])
    where = common.add_argument_group("where and who")
    where.add_argument("--catalog", metavar="URL", help="address of the catalog")
    where.add_argument(
        "--token-file", metavar="FILE", help="file with the operator's token (never on the command line: others see it)"
    )
    where.add_argument("--ca", metavar="FILE", help="authorities that vouch for the servers")
    parser = argparse.ArgumentParser(
        prog="tresma", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subjects = parser.add_subparsers(
        required=True,
        metavar="devices|flash|watch|history|recordings|faults|support|report|network|rollout|group|algorithm|image|keys|policy|repository|operator|audit",
    )
    subject = subjects.add_parser(
        "devices",
        aliases=["device"],
        help="register, list, show, change, enrol, lock and remove devices",
        epilog=_EXIT,
    )
    commands = subject.add_subparsers(required=True, metavar="add|list|show|set|enrol|revoke|lock|remove|report")
    _device_commands(commands, common)
    add_device_access(commands, lambda commands, *words: _command(commands, common, *words))
    add_commissioning(commands, lambda commands, *words: _command(commands, common, *words))
    add_access(subjects, lambda commands, *words: _command(commands, common, *words), _EXIT)
    add_flash(subjects, lambda commands, *words: _command(commands, common, *words))
    _watch_command(subjects, common)
    add_history(subjects, lambda commands, *words: _command(commands, common, *words), _EXIT)
    add_recordings(subjects, lambda commands, *words: _command(commands, common, *words), _EXIT)
    add_faults(subjects, lambda commands, *words: _command(commands, common, *words), _EXIT)
    add_support(subjects, lambda commands, *words: _command(commands, common, *words), _EXIT)
    add_report(subjects, lambda commands, *words: _command(commands, common, *words))
    add_network(
        subjects,
        lambda commands, *words: _command(commands, common, *words),
        lambda commands, *words: _command(commands, answers, *words),
        _EXIT,
    )
    add_rollouts(subjects, lambda commands, *words: _command(commands, common, *words), _EXIT)
    add_algorithm(subjects, lambda commands, *words: _command(commands, answers, *words), _EXIT)
    add_image(subjects, lambda commands, *words: _command(commands, answers, *words), _EXIT)
    add_policy(subjects, lambda commands, *words: _command(commands, answers, *words), _EXIT)
    add_trust(
        subjects,
        lambda commands, *words: _command(commands, answers, *words),
        lambda commands, *words: _command(commands, common, *words),
        _EXIT,
    )
    return parser


def _device_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    add = _command(commands, common, "add", "register a device and print what it must be told", _ADD_EXAMPLES)
    add.add_argument("device", metavar="ID", help="letters, digits, _ and -, at most 64")
    add.add_argument("--kind", choices=[kind.value for kind in DeviceKind], default="meter")
    add.add_argument("--tenant", default="default")
    add.add_argument("--description", default="", metavar="TEXT")
    add.add_argument(
        "--output", metavar="FILE", help="write the lines there, readable by you alone, instead of printing"
    )
    _configuration_arguments(add)
    _calls(add, devices.add)

    listing = _command(
        commands, common, "list", "list devices and services", "example:\n  tresma devices list --behind"
    )
    listing.add_argument("--kind", choices=[kind.value for kind in DeviceKind])
    for name in ("tenant", "network", "area", "algorithm"):
        listing.add_argument(f"--{name}", metavar="NAME")
    presence = listing.add_mutually_exclusive_group()
    presence.add_argument("--available", dest="available", action="store_true", default=None)
    presence.add_argument("--unavailable", dest="available", action="store_false")
    listing.add_argument("--behind", action="store_true", help="only those that have not applied what is desired")
    _calls(listing, devices.show_list)

    show = _command(commands, common, "show", "what a device should do, what it does, and what is wrong", "")
    show.add_argument("device", metavar="ID")
    _calls(show, devices.show)

    change = _command(commands, common, "set", "change what a device should do", _SET_EXAMPLES)
    change.add_argument("device", metavar="ID")
    _configuration_arguments(change)
    change.add_argument("--dry-run", action="store_true", help="only show what would change")
    change.add_argument("--wait", type=_seconds, metavar="S", help="wait until the device has applied it, at most S")
    _calls(change, devices.change)

    remove = _command(commands, common, "remove", "take devices out of the catalog", "")
    remove.add_argument("device", metavar="ID", nargs="+")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    _calls(remove, devices.remove)


def _watch_command(
    subjects: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    parser = _command(subjects, common, "watch", "see what meters measure, and which are there", _WATCH_EXAMPLES)
    parser.add_argument("device", metavar="ID", nargs="*", help="only these; all where none is named")
    parser.add_argument("--device", metavar="ID", dest="also", action="append", default=[], help="the same")
    parser.add_argument("--tenant", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="with --json: events and results too, not only frames")
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="end after S")
    parser.add_argument("--grid", metavar="URL", help="grid broker, mqtt://host:port; asked of the catalog otherwise")
    parser.add_argument("--data", metavar="URL", help="data broker")
    parser.set_defaults(command=_watch)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
    name: str,
    text: str,
    examples: str,
) -> argparse.ArgumentParser:
    epilog = f"{examples.rstrip()}\n\n{_EXIT}" if examples else _EXIT
    return commands.add_parser(
        name,
        parents=[common],
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _configuration_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("edits", metavar="path=value", nargs="*", help="such as poll.interval=5")
    parser.add_argument("--file", "-f", metavar="FILE", help="configuration in YAML or JSON (- for standard input)")


def _calls(parser: argparse.ArgumentParser, call: Callable[[argparse.Namespace, Catalog], None]) -> None:
    """Let a command of `devices` be called with the catalog open."""

    def command(options: argparse.Namespace) -> None:
        if call is devices.change and not options.file and not options.edits:
            raise UsageError("what should change? Give --file FILE or edits such as poll.interval=5")
        with Catalog(read_settings(_said(options))) as catalog:
            call(options, catalog)

    parser.set_defaults(command=command)


def _watch(options: argparse.Namespace) -> None:
    options.device += options.also
    watch(options, read_settings(_said(options)))


def _said(options: argparse.Namespace) -> dict[str, str | None]:
    return {name: getattr(options, name, None) for name in KEYS}


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, found {text}")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
