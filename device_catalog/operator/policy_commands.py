"""
``tresma policy``: what a DSO allows, written, judged and shown; `tresma repository policy` puts it among the targets.

Nothing here needs a catalog. What a policy is stands in `device_catalog.contract.policy`.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from algorithms.api.errors import Problem, ProblemsError
from device_catalog.contract.policy import MAXIMUM_POLICY, Bound, CommandKey, DirectorKey, Policy, problems_with
from device_catalog.contract.policy_rules import PolicyError, parse_policy
from device_catalog.contract.signatures import key_id
from device_catalog.contract.validation import DocumentError, parse_configuration
from device_catalog.operator.algorithm_commands import AddCommand, read_file
from device_catalog.operator.errors import Answered, OperatorError, UsageError
from device_catalog.operator.output import say, say_json

_hexadecimal = re.compile(r"[0-9a-f]{64}")

_NEW = """\
A key is NAME=FILE.pub (`tresma keys new`) or NAME=64 hexadecimal digits (`tresma-catalog director-key`,
`tresma-agent command-key`). Add bounds, authorities and more by hand; `check` tells what is wrong.

example:
  tresma policy new policy.json --director catalog=5b0c... --broker 'mqtts://*.example.org' \\
      --commander anna=anna.pub --commander control-1=77aa... --network lv-feeder
"""

_CHECK = """\
With --configuration, tells also what a device would refuse: a file as for `tresma devices add --file`.

example:
  tresma policy check policy.json --device m-0042 --configuration meter.yaml
"""

_CAUTIOUS = (
    Bound("poll.interval", minimum=1.0, maximum=3600.0),
    Bound("outputs.c37_118", allowed=(None,)),
    Bound("algorithms.reconfiguration.closed_loop", allowed=(False,)),
    Bound("calibration.gain", minimum=0.8, maximum=1.2),
    Bound("calibration.phase_correction", minimum=-0.2, maximum=0.2),
)
"""A beginning: nothing leaves a device but by its brokers, no algorithm switches by itself, and no catalog can have a
meter read far too much or too little by a calibration."""


def add_commands(subjects: Any, command: AddCommand, epilog: str) -> None:
    """Add ``policy`` with its commands to the command line."""
    subject = subjects.add_parser("policy", help="what the DSO allows, whoever runs the catalog", epilog=epilog)
    commands = subject.add_subparsers(required=True, metavar="new|check|show")
    new = command(commands, "new", "write a policy to start from", _NEW)
    new.add_argument("file", type=Path, metavar="FILE", help="such as policy.json")
    new.add_argument("--director", nargs="+", required=True, metavar="NAME=KEY", help="may sign desired documents")
    new.add_argument("--broker", nargs="+", required=True, metavar="URL", help="mqtts://host, mqtts://*.domain")
    new.add_argument("--commander", action="append", default=[], metavar="NAME=KEY", help="may sign orders to switches")
    new.add_argument("--network", nargs="+", default=["*"], metavar="ID", help="of the commanders (default: all)")
    new.set_defaults(command=_new)
    check = command(commands, "check", "find everything wrong with a policy", _CHECK)
    check.add_argument("file", type=Path, metavar="FILE")
    check.add_argument("--configuration", type=Path, metavar="FILE", help="of a device, YAML or JSON")
    check.add_argument("--device", default="", metavar="ID", help="whose; some bounds concern some devices")
    check.set_defaults(command=_check)
    show = command(commands, "show", "say what a policy allows", "example:\n  tresma policy show policy.json")
    show.add_argument("file", type=Path, metavar="FILE")
    show.set_defaults(command=_show)


def read_policy(path: Path) -> tuple[Policy, bytes]:
    """
    Read a policy's file.

    Raises
    ------
    OperatorError
        With everything that is wrong with it.
    """
    data = read_file(path, MAXIMUM_POLICY + 1)
    try:
        return parse_policy(data), data
    except PolicyError as error:
        raise OperatorError(_listed(path, error)) from error


def _new(options: argparse.Namespace) -> None:
    directors = tuple(DirectorKey(*_key(word)) for word in options.director)
    commanders = tuple(CommandKey(*_key(word), networks=tuple(options.network)) for word in options.commander)
    policy = Policy(1, directors, tuple(options.broker), commanders, bounds=_CAUTIOUS)
    data = msgspec.json.format(msgspec.json.encode(policy), indent=2) + b"\n"
    try:
        parse_policy(data)
        with options.file.open("xb") as file:
            file.write(data)
    except PolicyError as error:
        raise UsageError(_listed(options.file, error)) from error
    except OSError as error:
        raise OperatorError(f"{options.file}: expected a new file, found: {error.strerror}") from error
    if options.json:
        say_json({"file": str(options.file)})
        return
    say(f"{options.file} is written; then: tresma repository policy FOLDER {options.file}, sign, publish, push")


def _check(options: argparse.Namespace) -> None:
    policy, _ = read_policy(options.file)
    problems: list[Problem] = []
    if options.configuration is not None:
        try:
            fields = yaml.safe_load(read_file(options.configuration))
            configuration = parse_configuration(fields if isinstance(fields, dict) else {"": fields})
        except (yaml.YAMLError, DocumentError) as error:
            raise OperatorError(f"{options.configuration}: {error}") from error
        problems = problems_with(policy, options.device, configuration)
    if options.json:
        say_json({"revision": policy.revision, "problems": [msgspec.to_builtins(problem) for problem in problems]})
        if problems:
            raise Answered(f"{len(problems)} problems")
    elif problems:
        raise OperatorError("\n".join(str(problem) for problem in problems))
    else:
        say(f"{options.file}: revision {policy.revision} is right")


def _show(options: argparse.Namespace) -> None:
    policy, _ = read_policy(options.file)
    if options.json:
        say_json(policy)
        return
    say(f"revision {policy.revision}")
    for director in policy.directors:
        say(f"settings are signed by {director.name} ({key_id(director.public)})")
    for commander in policy.commanders:
        obeyed = [*(f"network {one}" for one in commander.networks), *(f"device {one}" for one in commander.devices)]
        say(f"orders are signed by {commander.name} ({key_id(commander.public)}): {', '.join(obeyed)}")
    if not policy.commanders:
        say("nobody gives orders")
    say(f"brokers: {', '.join(policy.brokers) or 'none'}")
    say(f"authorities: {', '.join(policy.authorities) or 'those of the device itself'}")
    for bound in policy.bounds:
        said = msgspec.to_builtins(bound)
        limits = [f"{name} {said[name]}" for name in ("minimum", "maximum", "allowed") if said[name] is not None]
        limits += ["stated"] * bound.stated
        devices = "" if bound.devices == ("*",) else f" (devices {', '.join(bound.devices)})"
        say(f"{bound.setting}: {', '.join(limits)}{devices}")
    say(f"algorithms that give orders: {', '.join(policy.commanding) or 'none'}")
    say(f"code of publishers: {'in bubblewrap or not at all' if policy.bubblewrap else 'confined as the rest'}")


def _key(word: str) -> tuple[str, str]:
    name, equals, key = word.partition("=")
    if not equals:
        raise UsageError(f"expected NAME=KEY, found {word[:80]}")
    return name, key if _hexadecimal.fullmatch(key) else public_of(Path(key))


def public_of(path: Path) -> str:
    """
    Read the public half of a key, as `tresma keys new` writes it.

    Raises
    ------
    OperatorError
    """
    try:
        public = msgspec.json.decode(read_file(path, 65536))["keyval"]["public"]
    except (msgspec.DecodeError, TypeError, KeyError) as error:
        raise OperatorError(f"{path}: expected the public half of a key (NAME.pub), found something else") from error
    return str(public)


def _listed(path: Path, error: ProblemsError) -> str:
    return f"{path}: " + "\n".join(str(problem) for problem in error.problems)
