"""
The command line of what a person types beside a meter: replay, check, calibrate, enrol and the like.

Where it stands: read by ``agent.__main__`` for every command, so it loads nothing but argparse; each command loads what
it needs when it is run.
"""

import argparse
import sys
from pathlib import Path

DEFAULT_CONFIG = Path("/etc/tresma/agent.yaml")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add them, in the order of the help."""
    _add_replay(commands)
    _add_check(commands)
    _add_boards(commands)
    _add_calibrate(commands)
    _add_enrol(commands)
    _add_support(commands)
    _add_command_key(commands)
    _add_fetch(commands)


def config_option(parser: argparse.ArgumentParser) -> None:
    """Let a command take the file with the agent's few lines."""
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG if _is_there(DEFAULT_CONFIG) else None,
        metavar="FILE",
        help=f"the agent's few lines (default {DEFAULT_CONFIG}, or the environment alone)",
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # somebody's who may not look; who needs the file is told so when it is read


def _add_replay(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser(
        "check",
        help="check an installation, one line an item",
        description="Check configuration, clock, catalog, brokers, source, every channel, wiring, disk and isolation. "
        "Each line that is not ok names its remedy.",
        epilog="Exit status 0 when nothing failed, 1 otherwise.",
    )
    config_option(check)
    check.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    check.add_argument("--seconds", type=float, default=2.0, metavar="S", help="how long to sample (default 2)")
    check.set_defaults(command=_check)


def _add_boards(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_calibrate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    config_option(calibrate)
    _calibration_options(calibrate)
    calibrate.set_defaults(command=_calibrate)


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


def _add_enrol(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_support(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    support = commands.add_parser(
        "support-bundle",
        help="collect what helps to find out what is wrong, without secrets, into one file",
        description="Collect logs, settings without secrets, health history, versions, isolation, the state of disk, "
        "memory and time, and the newest recordings into one .tar.gz with a README.txt. It changes nothing, takes a "
        "minute at most, and works when the agent is dead. What could not be collected is said in a sentence.",
        epilog="Run it as root: others may not read the journal and the agent's folder. Where the disk is full: ssh "
        "METER sudo tresma-agent support-bundle -o - > bundle.tar.gz. Exit status 69 when it cannot be written.",
    )
    config_option(support)
    support.add_argument("--output", "-o", metavar="FILE", default="", help="where to (- for standard output)")
    support.add_argument("--state-dir", type=Path, metavar="FOLDER", help="the agent's folder, where FILE cannot say")
    support.add_argument("--quiet", action="store_true", help="say only what could not be collected")
    support.add_argument("--json", action="store_true", help="at the end one JSON object on what is in it")
    support.set_defaults(command=_support)


def _add_command_key(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command_key = commands.add_parser(
        "command-key",
        help="show the key by which this device signs orders, and make it where it has none",
        description="Print the public half of the key by which this device signs what its reconfigurator orders. The "
        "DSO lets it command networks by its policy; the private half stays in the agent's folder. A key that was made "
        "while the agent ran is used from its next start on.",
        epilog="Example: tresma policy new policy.json --commander control-1=$(tresma-agent command-key) ...",
    )
    config_option(command_key)
    command_key.set_defaults(command=_command_key)


def _add_fetch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    fetch = commands.add_parser(
        "fetch-algorithm",
        help="fetch a signed algorithm, verify it and put it in place",
        description="Download one version of an algorithm from the catalog's signed repository, verify it against the "
        "root of trust, unpack and compile it into the state folder. Nothing is started.",
        epilog="Exit status 0 when it is in place, 69 when it is not taken; the message says why.",
    )
    fetch.add_argument("algorithm", metavar="NAME==VERSION")
    config_option(fetch)
    fetch.add_argument("--root", type=Path, metavar="FILE", help="root of trust (default root.json beside --config)")
    fetch.add_argument("--repository", metavar="URL", help="another server of the repository than the catalog")
    fetch.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    fetch.set_defaults(command=_fetch)


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


def _command_key(options: argparse.Namespace) -> int:
    from agent.config import read_config  # noqa: PLC0415
    from agent.trust.signing import make_command_key  # noqa: PLC0415 - loads cryptography

    sys.stdout.write(f"{make_command_key(read_config(options.config).state_dir).public}\n")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from agent.console import fetch_command  # noqa: PLC0415

    return fetch_command.run(options)
