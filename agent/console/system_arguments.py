"""
The command line of what the service manager starts: slots, provision, clock, modem, and the commissioning page.

Where it stands: as `arguments`, read for every command, so it loads nothing but argparse and the words of `slots`.
"""

import argparse
import sys
from pathlib import Path

from agent.updates.slots.arguments import add_arguments as add_slot_arguments


def add_system_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add them, in the order of the help."""
    _add_slots(commands)
    _add_provision(commands)
    _add_clock(commands)
    _add_modem(commands)
    _add_commission(commands)


def _add_slots(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    slots = commands.add_parser(
        "slots",
        help="write root slots and choose what boots, for the agent; the service manager starts it",
        description="Answer one request of the agent on standard input, or listen for them: write an image that is "
        "signed into the slot that does not run, try it, keep it or leave it. Runs as root and believes nothing that "
        "the agent says: signatures are judged again by a root of trust of its own.",
        epilog="Example: tresma-agent slots --overdue. Exit status 0 when it was done, 69 when it was not.",
    )
    add_slot_arguments(slots)
    slots.set_defaults(command=_slots)


def _add_provision(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    provision = commands.add_parser(
        "provision",
        help="make a meter of what its card says; the service manager runs it at each start",
        description="Take up the folder that `tresma flash` put onto the card (card.yaml, network.yaml, "
        "catalog-ca.pem): keep it on the data partition, take what is secret off the card, set up the network, then "
        "ask the catalog for a certificate until it gives one, and have the agent started. What is wrong is said in "
        "one sentence, in the journal, by `tresma-agent check` and in /run/tresma/provisioning.json. It may be run "
        "again at any time, and power may fail at any time.",
        epilog="Example: tresma-agent provision --card /boot/firmware/tresma. Exit status 0 when the meter is enrolled "
        "or the card says nothing, 1 when the data partition cannot be written, or with --once it is not enrolled.",
    )
    provision.add_argument("--card", type=Path, required=True, metavar="FOLDER", help="the folder on the card")
    provision.add_argument("--root", type=Path, default=Path("/"), metavar="FOLDER", help="of the file system (/)")
    provision.add_argument("--offline", action="store_true", help="only what needs no network")
    provision.add_argument("--once", action="store_true", help="ask the catalog once, and end")
    provision.set_defaults(command=_provision)


def _add_clock(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    clock = commands.add_parser(
        "clock",
        help="tell services that may not ask the kernel how good the machine's time is",
        description="Ask the kernel once a second how good the machine's time is, and leave it in a file for services "
        "that may not ask. The service manager runs it.",
    )
    clock.add_argument("--file", type=Path, default=None, metavar="FILE", help="where (/run/tresma-clock/quality)")
    clock.set_defaults(command=_clock)


def _add_modem(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    modem = commands.add_parser(
        "modem",
        help="keep the meter joined to the mobile network of its card; the service manager runs it",
        description="Join the mobile network that network.yaml names (lte), through ModemManager, give it its "
        "addresses through systemd-networkd, and join it again whenever it is lost. A PIN that is wrong is sent once, "
        "and then never again by itself.",
        epilog="Exit status 78 where no mobile network is set up.",
    )
    modem.add_argument("--root", type=Path, default=Path("/"), metavar="FOLDER", help="of the file system (/)")
    modem.set_defaults(command=_modem)


def _add_commission(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    commission = commands.add_parser(
        "commission",
        help="serve the commissioning page for an installer in front of the meter",
        description="Serve a page on this meter that shows whether it is wired right, measures and is connected, says "
        "what to put right, and has the meter sign a report for the catalog. It is reached on cables and access points "
        "of this meter only (link-local addresses, and the interfaces that its settings name), asks for the PIN on the "
        "label, and closes when the catalog has a report.",
        epilog="A browser on a cable to the meter opens http://NAME.local, as the label says. Exit status 0 when the "
        "commissioning is over, 78 when its settings cannot be used.",
    )
    commission.add_argument("--reopen", action="store_true", help="begin another commissioning (as root)")
    commission.add_argument("--settings", type=Path, metavar="FILE", help="PIN, name, interfaces, port (YAML)")
    commission.add_argument("--runtime", type=Path, metavar="FOLDER", help="where the agent's socket is (/run/tresma)")
    commission.add_argument("--state-dir", type=Path, metavar="FOLDER", help="where it remembers that it is over")
    commission.add_argument("--listen", default="", metavar="ADDRESS:PORT", help="listen here and nowhere else")
    commission.set_defaults(command=_commission)


def _slots(options: argparse.Namespace) -> int:
    from agent.updates.slots import command  # noqa: PLC0415

    return command.run(options)


def _provision(options: argparse.Namespace) -> int:
    from agent.console import provision_command  # noqa: PLC0415

    return provision_command.run(options)


def _clock(options: argparse.Namespace) -> int:
    from hardware.timebase_clocks import kernel_clock  # noqa: PLC0415
    from hardware.told_clock import TOLD, tell  # noqa: PLC0415

    def ask() -> tuple[float | None, float | None]:
        found = kernel_clock()
        return found.uncertainty, found.frequency

    try:
        tell(ask, options.file or TOLD)
    except OSError as error:
        sys.stderr.write(f"tresma-agent clock: expected a file that can be written, found {error}\n")
        return 1
    return 0


def _modem(options: argparse.Namespace) -> int:
    from agent.console import modem_command  # noqa: PLC0415

    return modem_command.run(options)


def _commission(options: argparse.Namespace) -> int:
    from agent.commissioning import commission  # noqa: PLC0415 - loads numpy, which the agent does without

    return commission.run(options)
