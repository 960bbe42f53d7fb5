"""
The command ``tresma-agent``: run a meter, replay a recording, check an installation, calibrate it, fetch algorithms.

Exit status: 0 done, 1 a check failed, 64 wrong use, 69 a service is missing, 70 a bug, 78 a configuration that
cannot be used (sysexits.h).
"""

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path

from agent.errors import AgentError, ConfigError
from agent.updates.slots.arguments import add_arguments as add_slot_arguments

EX_USAGE = 64
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CONFIG = 78

DEFAULT_CONFIG = Path("/etc/tresma/agent.yaml")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as wrong:  # argparse says 2 for what sysexits.h calls 64
        return EX_USAGE if wrong.code else 0
    try:
        return int(options.command(options))
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"tresma-agent: {problem}\n")
        return EX_CONFIG
    except AgentError as error:
        sys.stderr.write(f"tresma-agent: {error}\n")
        return EX_UNAVAILABLE
    except Exception:
        logging.getLogger(__name__).exception("this is a bug; please report it")
        return EX_SOFTWARE
    except KeyboardInterrupt:
        return 130
    finally:
        _hand_to_service(options)


def _hand_to_service(options: argparse.Namespace) -> None:
    """Give what root made beside a service that runs as another user to that user: commands are typed as root."""
    if os.name == "nt" or os.geteuid() != 0 or options.command is _run or not hasattr(options, "config"):
        return
    from agent.config import read_config  # noqa: PLC0415
    from agent.files import hand_to_owner  # noqa: PLC0415

    with contextlib.suppress(ConfigError, OSError):  # what cannot be read was said; what cannot be given was not taken
        hand_to_owner(read_config(options.config).state_dir)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tresma-agent",
        description="A three-phase smart meter that configures itself from a device catalog.",
        epilog="'tresma devices add' on the operator's side prints the lines a new meter needs.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run the agent",
        description="Run the agent: it takes everything but the lines in FILE from the catalog.",
        epilog="FILE holds: device: ID, catalog: URL, credential: SECRET (or credential_file: PATH). "
        "The environment (TRESMA_DEVICE, TRESMA_CATALOG, TRESMA_CREDENTIAL, TRESMA_STATE_DIR) wins over it.",
    )
    _config_option(run)
    run.set_defaults(command=_run)

    replay = commands.add_parser(
        "replay",
        help="run a recording through the algorithms, as fast as possible",
        description="Run a COMTRADE recording through algorithms and print what a meter would have published, one "
        "JSON object a line. The same file gives the same bytes every time.",
        epilog="Example: tresma-agent replay fault.cfg --set phasors.window=3 | jq .frequency",
    )
    replay.add_argument("file", type=Path, metavar="FILE", help="a .cfg or .cff file")
    replay.add_argument(
        "--settings", type=Path, metavar="FILE", help="algorithms as in the catalog's configuration (YAML or JSON)"
    )
    replay.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the agent whose last good settings are used instead; default: phasors with their own defaults",
    )
    replay.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ALGORITHM.NAME=VALUE",
        help="one setting of an algorithm, as YAML; assigns the algorithm where it is not",
    )
    replay.add_argument(
        "--nominal-voltage", type=float, metavar="V", help="phase to neutral; default: the recording's own"
    )
    replay.add_argument("--nominal-frequency", type=float, metavar="HZ", help="default: the recording's own")
    for kind in ("voltages", "currents"):
        replay.add_argument(
            f"--{kind}", nargs=3, metavar=("A", "B", "C"), help=f"the recording's channels of {kind}; default: found"
        )
    replay.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    replay.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="write a page (HTML) with waveforms, phasors, frequency, power, harmonics and events instead",
    )
    replay.set_defaults(command=_replay)

    check = commands.add_parser(
        "check",
        help="check an installation, one line an item",
        description="Check configuration, clock, catalog, brokers, source, every channel, wiring, disk and isolation. "
        "Each line that is not ok names its remedy.",
        epilog="Exit status 0 when nothing failed, 1 otherwise.",
    )
    _config_option(check)
    check.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    check.add_argument("--seconds", type=float, default=2.0, metavar="S", help="how long to sample (default 2)")
    check.set_defaults(command=_check)

    boards = commands.add_parser(
        "boards",
        help="list the data-acquisition boards of this machine",
        description="List the boards that are plugged in: model, serial number, what each can do, and what keeps it "
        "from being used. Each is opened and let go; nothing is sampled.",
        epilog="Exit status 0 when one can be used, 1 otherwise.",
    )
    boards.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    boards.add_argument("--models", action="store_true", help="what every model that is known can do, without looking")
    boards.set_defaults(command=_boards)

    calibrate = commands.add_parser(
        "calibrate",
        help="compare with a reference meter, and keep the constants",
        description="Compare this meter with a reference: read the reference, measure for some seconds, judge whether "
        "what differs is plausible, and keep gain, offset and phase of every channel on the device and in the catalog. "
        "Without any reading it asks for them one by one.",
        epilog="Example: tresma-agent calibrate --by 'A. Installer' --reference 'N4L PPA5530 1234' --accuracy 0.05 "
        "--voltage A=230.12,B=229.98,C=230.31 --current A=5.012,B=5.003,C=4.997 --lag A=0.1,B=0.1,C=0.2. "
        "Exit status 0 when it was kept, 1 otherwise. Stop the agent first where a board is in use.",
    )
    _config_option(calibrate)
    _calibration_options(calibrate)
    calibrate.set_defaults(command=_calibrate)

    enrol = commands.add_parser(
        "enrol",
        help="get a certificate with a token, and write the agent's few lines",
        description="Make a key on this machine, get a certificate for it from the catalog with a token that works "
        "once, and write the agent's configuration where there is none yet. The key never leaves this machine.",
        epilog="'tresma devices enrol NAME' gives the token. Example: tresma-agent enrol --catalog "
        "https://catalog.example.org --token-file token. Asking again after a power cut does no harm. Exit status 69 "
        "when it is not let in; the message says why.",
    )
    enrol.add_argument("--catalog", required=True, metavar="URL", help="address of the catalog")
    token = enrol.add_mutually_exclusive_group(required=True)
    token.add_argument("--token", metavar="TOKEN", help="the token (others on this machine may see it)")
    token.add_argument("--token-file", metavar="FILE", help="file with the token (- for standard input)")
    enrol.add_argument("--ca", metavar="FILE", default="", help="authorities that vouch for the catalog")
    enrol.add_argument("--state-dir", type=Path, metavar="FOLDER", help="the agent's folder")
    enrol.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"the agent's few lines ({DEFAULT_CONFIG})"
    )
    enrol.set_defaults(command=_enrol)

    _support_command(commands)

    command_key = commands.add_parser(
        "command-key",
        help="show the key by which this device signs orders, and make it where it has none",
        description="Print the public half of the key by which this device signs what its reconfigurator orders. The "
        "DSO lets it command networks by its policy; the private half stays in the agent's folder. A key that was made "
        "while the agent ran is used from its next start on.",
        epilog="Example: tresma policy new policy.json --commander control-1=$(tresma-agent command-key) ...",
    )
    _config_option(command_key)
    command_key.set_defaults(command=_command_key)

    fetch = commands.add_parser(
        "fetch-algorithm",
        help="fetch a signed algorithm, verify it and put it in place",
        description="Download one version of an algorithm from the catalog's signed repository, verify it against the "
        "root of trust, unpack and compile it into the state folder. Nothing is started.",
        epilog="Exit status 0 when it is in place, 69 when it is not taken; the message says why.",
    )
    fetch.add_argument("algorithm", metavar="NAME==VERSION")
    _config_option(fetch)
    fetch.add_argument("--root", type=Path, metavar="FILE", help="root of trust (default root.json beside --config)")
    fetch.add_argument("--repository", metavar="URL", help="another server of the repository than the catalog")
    fetch.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    fetch.set_defaults(command=_fetch)

    _system_commands(commands)
    return _with_commission(parser, commands)


def _system_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add what the service manager starts."""
    _slots_command(commands)
    _provision_command(commands)


def _slots_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _provision_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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

    clock = commands.add_parser(
        "clock",
        help="tell services that may not ask the kernel how good the machine's time is",
        description="Ask the kernel once a second how good the machine's time is, and leave it in a file for services "
        "that may not ask. The service manager runs it.",
    )
    clock.add_argument("--file", type=Path, default=None, metavar="FILE", help="where (/run/tresma-clock/quality)")
    clock.set_defaults(command=_clock)
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


def _with_commission(
    parser: argparse.ArgumentParser, commands: "argparse._SubParsersAction[argparse.ArgumentParser]"
) -> argparse.ArgumentParser:
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
    return parser


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None,
        metavar="FILE",
        help=f"the agent's few lines (default {DEFAULT_CONFIG}, or the environment alone)",
    )


def _support_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    support = commands.add_parser(
        "support-bundle",
        help="collect what helps to find out what is wrong, without secrets, into one file",
        description="Collect logs, settings without secrets, health history, versions, isolation, the state of disk, "
        "memory and time, and the newest recordings into one .tar.gz with a README.txt. It changes nothing, takes a "
        "minute at most, and works when the agent is dead. What could not be collected is said in a sentence.",
        epilog="Run it as root: others may not read the journal and the agent's folder. Where the disk is full: ssh "
        "METER sudo tresma-agent support-bundle -o - > bundle.tar.gz. Exit status 69 when it cannot be written.",
    )
    _config_option(support)
    support.add_argument("--output", "-o", metavar="FILE", default="", help="where to (- for standard output)")
    support.add_argument("--state-dir", type=Path, metavar="FOLDER", help="the agent's folder, where FILE cannot say")
    support.add_argument("--quiet", action="store_true", help="say only what could not be collected")
    support.add_argument("--json", action="store_true", help="at the end one JSON object on what is in it")
    support.set_defaults(command=_support)


def _calibration_options(parser: argparse.ArgumentParser) -> None:
    angles = "A=VALUE,B=VALUE,... or one for all phases"
    for option, unit, text in (
        ("--voltage", "V", "RMS phase to neutral"),
        ("--current", "A", "RMS"),
        ("--lag", "DEG", "by how much each current lags its voltage"),
        ("--power", "W", "active power into the load, in the place of --lag"),
        ("--reactive", "VAR", "reactive power into the load, beside --power"),
        ("--voltage-angle", "DEG", "angle of each voltage to phase A's, positive where it leads"),
    ):
        parser.add_argument(option, metavar=unit, default="", help=f"{text}: {angles}")
    parser.add_argument("--by", metavar="NAME", default="", help="who calibrates")
    parser.add_argument("--reference", metavar="TEXT", default="", help="the reference's maker, model, serial number")
    parser.add_argument("--accuracy", type=float, metavar="PERCENT", help="its class, of a reading (default 0.2)")
    parser.add_argument("--angle-accuracy", type=float, metavar="DEG", help="its largest error of angles (default 0.1)")
    parser.add_argument("--drift", type=float, default=0.1, metavar="PERCENT", help="of gains in a year (default 0.1)")
    parser.add_argument("--phase-drift", type=float, default=0.02, metavar="DEG", help="of phases (default 0.02)")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="how long to measure (default 10)")
    parser.add_argument("--yes", action="store_true", help="keep what is plausible without asking")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, keep nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object, no questions")
    parser.add_argument("--show", action="store_true", help="show the calibration in force")
    parser.add_argument("--reset", action="store_true", help="go back to the settings' own constants")


def _run(options: argparse.Namespace) -> int:
    from agent import bootstrap  # noqa: PLC0415 - each command loads only what it needs

    return bootstrap.run(options.config)


def _replay(options: argparse.Namespace) -> int:
    from agent.console import replay_command  # noqa: PLC0415

    return replay_command.run(options)


def _boards(options: argparse.Namespace) -> int:
    from agent.console import boards_command  # noqa: PLC0415

    return boards_command.run(options)


def _check(options: argparse.Namespace) -> int:
    from agent.console import check_command  # noqa: PLC0415

    return check_command.run(options)


def _calibrate(options: argparse.Namespace) -> int:
    from agent.console import calibrate_command  # noqa: PLC0415

    return calibrate_command.run(options)


def _enrol(options: argparse.Namespace) -> int:
    from agent.console import enrol_command  # noqa: PLC0415

    return enrol_command.run(options)


def _support(options: argparse.Namespace) -> int:
    from agent.console import support_command  # noqa: PLC0415

    return support_command.run(options)


def _commission(options: argparse.Namespace) -> int:
    from agent.commissioning import commission  # noqa: PLC0415 - loads numpy, which the agent does without

    return commission.run(options)


def _command_key(options: argparse.Namespace) -> int:
    from agent.config import read_config  # noqa: PLC0415
    from agent.trust.signing import make_command_key  # noqa: PLC0415 - loads cryptography

    sys.stdout.write(f"{make_command_key(read_config(options.config).state_dir).public}\n")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from agent.console import fetch_command  # noqa: PLC0415

    return fetch_command.run(options)


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


if __name__ == "__main__":
    sys.exit(main())
