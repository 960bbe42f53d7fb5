"""
``tresma keys`` and ``tresma repository``: the keys of those who sign, and the repository that meters believe.

All but ``push`` work on files alone and never ask a catalog: root and targets keys stay where it cannot reach them.
"""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_catalog.operator.algorithm_commands import AddCommand, judged
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.image_commands import read_image
from device_catalog.operator.output import note, say, say_json
from device_catalog.operator.passphrases import passphrase_of
from device_catalog.operator.policy_commands import read_policy
from device_catalog.operator.repository_push import push
from device_catalog.packages.errors import RepositoryError

if TYPE_CHECKING:
    from device_catalog.packages.repository import Repository

_KEYS = """\
examples:
  tresma keys new anna.key            asks for a passphrase; anna.pub is for everybody, anna.key for nobody else
  tresma keys show anna.pub
"""

_REPOSITORY = """\
How a repository begins, with two people and one key for the catalog's machine:
  tresma repository init trust --root anna.pub bert.pub --targets anna.pub bert.pub --snapshot online.pub \\
      --timestamp online.pub
  tresma repository sign trust --key anna.key                 Anna, then Bert on his own machine
  tresma repository sign trust --key bert.key
  tresma repository publish trust --key online.key
How an algorithm gets in:
  tresma repository add trust voltage_band-0.1.0-py3-none-any.whl
  ... sign, sign, publish as above
How an image of meters' root slots gets in:
  tresma image pack dist/tresma-rpi-1.2.0.root.ext4 --about dist/tresma-rpi-1.2.0.json
  tresma repository add trust tresma-rpi-1.2.0.json
  ... sign, sign, publish as above
How the DSO says what it allows, whoever runs the catalog:
  tresma policy new policy.json --director catalog=KEY --broker 'mqtts://*.example.org'
  tresma repository policy trust policy.json
  ... sign, sign, publish as above
And every day, before the timestamp expires:
  tresma repository publish trust --key online.key --passphrase-file /etc/tresma/online.passphrase
  tresma repository push trust                                to the catalog, which verifies before it stores
Meters need trust/metadata/1.root.json once. Any web server can serve trust/metadata and trust/targets as they are.
"""


def add_commands(subjects: Any, command: AddCommand, remote: AddCommand, epilog: str) -> None:
    """Add ``keys`` and ``repository`` to the command line; `remote` makes a command that asks the catalog."""
    subject = subjects.add_parser("keys", help="make and show keys of those who sign", epilog=epilog)
    commands = subject.add_subparsers(required=True, metavar="new|show")
    new = command(commands, "new", "make a key under a passphrase", _KEYS)
    new.add_argument("file", type=Path, metavar="FILE", help="such as anna.key")
    _passphrase_option(new)
    new.set_defaults(command=_guarded(_new_key))
    show = command(commands, "show", "show a public key", _KEYS)
    show.add_argument("file", type=Path, metavar="FILE", help="such as anna.pub")
    show.set_defaults(command=_guarded(_show_key))

    subject = subjects.add_parser("repository", help="the signed repository that meters believe", epilog=epilog)
    commands = subject.add_subparsers(
        required=True, metavar="init|add|policy|withdraw|sign|publish|push|status|expire|add-key|rotate|delegate"
    )

    def verb(name: str, text: str, call: "Callable[[argparse.Namespace, Repository], None]") -> argparse.ArgumentParser:
        parser = command(commands, name, text, _REPOSITORY)
        parser.add_argument("folder", type=Path, metavar="FOLDER")
        parser.set_defaults(command=_guarded(_with_repository(call)))
        return parser

    init = verb("init", "begin a repository", _init)
    for role in ("root", "targets", "snapshot", "timestamp"):
        init.add_argument(f"--{role}", type=Path, nargs="+", required=True, metavar="PUB", help=f"keys of {role}")
    init.add_argument("--threshold", type=int, default=2, metavar="N", help="signatures of root and targets (2)")

    policy = verb("policy", "put what the DSO allows among the targets, for signers to confirm", _policy)
    policy.add_argument("file", type=Path, metavar="FILE", help="as `tresma policy new` writes it")

    add = verb("add", "put packages or images among the targets, for signers to confirm", _add)
    add.add_argument("package", type=Path, nargs="+", metavar="WHEEL|MANIFEST")
    add.add_argument("--as", dest="publisher", default="targets", metavar="PUBLISHER", help="under a delegation")

    withdraw = verb("withdraw", "take a version of an algorithm away", _withdraw)
    withdraw.add_argument("algorithm", metavar="NAME==VERSION")

    sign = verb("sign", "add your signature to what is pending", _sign)
    sign.add_argument("--key", type=Path, required=True, metavar="KEY")
    _passphrase_option(sign)

    publish = verb("publish", "let in what is signed, and renew snapshot and timestamp", _publish)
    publish.add_argument("--key", type=Path, nargs="+", required=True, metavar="KEY", help="online keys")
    _passphrase_option(publish)

    pushing = remote(commands, "push", "bring what is published to the catalog, which verifies it", _REPOSITORY)
    pushing.add_argument("folder", type=Path, metavar="FOLDER")
    pushing.set_defaults(command=push)

    verb("status", "show who signs, what counts until when, and what is pending", _status)

    expire = verb("expire", "change until when a role's document counts", _expire)
    expire.add_argument("role", metavar="ROLE")
    expire.add_argument("--days", type=float, required=True, metavar="D", help="from now")

    add_key = verb("add-key", "let one more key sign for a role", _add_key)
    rotate = verb("rotate", "put a key in the place of another", _rotate)
    rotate.add_argument("--old", required=True, metavar="KEYID", help="or its .pub file")
    for parser in (add_key, rotate):
        parser.add_argument("--role", required=True, choices=("root", "targets", "snapshot", "timestamp"))
        parser.add_argument("--new", type=Path, required=True, metavar="PUB")
    add_key.add_argument("--threshold", type=int, metavar="N", help="signatures needed from now on")

    delegate = verb("delegate", "let a publisher sign packages of some algorithms", _delegate)
    delegate.add_argument("publisher", metavar="PUBLISHER")
    delegate.add_argument("--algorithm", nargs="+", required=True, metavar="NAME")
    delegate.add_argument("--key", type=Path, nargs="+", required=True, metavar="PUB")
    delegate.add_argument("--threshold", type=int, default=1, metavar="N")


def _passphrase_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="otherwise it is asked for")


def _guarded(call: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    def command(options: argparse.Namespace) -> None:
        try:
            call(options)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("tuf", "securesystemslib", "cryptography"):
                raise
            remedy = "install tresma[trust], on Debian python3-tuf"
            raise OperatorError(f"expected the library {error.name}, found none; {remedy}") from error
        except RepositoryError as error:
            raise OperatorError(str(error)) from error

    return command


def _with_repository(
    call: "Callable[[argparse.Namespace, Repository], None]",
) -> Callable[[argparse.Namespace], None]:
    def command(options: argparse.Namespace) -> None:
        from device_catalog.packages.repository import Repository  # noqa: PLC0415 - loads TUF

        call(options, Repository(options.folder, datetime.now(UTC)))

    return command


def _new_key(options: argparse.Namespace) -> None:
    from device_catalog.packages.keys import new_key, public_path  # noqa: PLC0415 - loads cryptography

    key = new_key(options.file, passphrase_of(options, twice=True))
    if options.json:
        say_json({"keyid": key.keyid, "public": str(public_path(options.file))})
        return
    say(f"{options.file} is yours alone; give {public_path(options.file)} to whoever keeps the repository")
    say(f"key id {key.keyid}")


def _show_key(options: argparse.Namespace) -> None:
    from device_catalog.packages.keys import public_path, read_public  # noqa: PLC0415

    key = read_public(public_path(options.file))
    answer = {"keyid": key.keyid, "type": key.keytype, "public": key.keyval["public"]}
    if options.json:
        say_json(answer)
        return
    for name, text in answer.items():
        say(f"{name:<7} {text}")


def _init(options: argparse.Namespace, repository: "Repository") -> None:
    keys = {role: _public(getattr(options, role)) for role in ("root", "targets", "snapshot", "timestamp")}
    repository.begin(keys, options.threshold)
    _tell_pending(options, repository)


def _add(options: argparse.Namespace, repository: "Repository") -> None:
    from device_catalog.contract.images import ImageError  # noqa: PLC0415

    packages = [judged(path) for path in options.package if path.suffix != ".json"]
    images = [read_image(path) for path in options.package if path.suffix == ".json"]
    if images and options.publisher != "targets":
        raise UsageError("expected an image to be signed by targets itself, found a publisher; leave --as out")
    for package, data in packages:
        repository.add(package, data, options.publisher)
    try:
        for _, data, payload in images:
            repository.add_image(data, payload)
    except ImageError as error:
        raise UsageError("expected the manifest of an image", error.problems) from error
    except OSError as error:
        found = f"{error.filename}: {error.strerror}"
        raise OperatorError(f"expected an image's payload beside its manifest, found {found}") from error
    _tell_pending(options, repository)


def _policy(options: argparse.Namespace, repository: "Repository") -> None:
    repository.set_policy(read_policy(options.file)[1])
    _tell_pending(options, repository)


def _withdraw(options: argparse.Namespace, repository: "Repository") -> None:
    name, equals, version = options.algorithm.partition("==")
    if not equals:
        raise UsageError(f"expected NAME==VERSION, found {options.algorithm[:60]}")
    repository.withdraw(name, version)
    _tell_pending(options, repository)


def _sign(options: argparse.Namespace, repository: "Repository") -> None:
    from device_catalog.packages.keys import load_signer  # noqa: PLC0415

    signed = repository.sign(load_signer(options.key, passphrase_of(options)))
    note(f"signed: {', '.join(signed)}")
    _tell_pending(options, repository)


def _publish(options: argparse.Namespace, repository: "Repository") -> None:
    from device_catalog.packages.keys import load_signer  # noqa: PLC0415

    passphrase = passphrase_of(options)
    roles = repository.publish([load_signer(key, passphrase) for key in options.key])
    if options.json:
        say_json({"published": roles})
        return
    say(f"published: {', '.join((*roles, 'snapshot', 'timestamp'))}")


def _expire(options: argparse.Namespace, repository: "Repository") -> None:
    repository.expire(options.role, options.days)
    _tell_pending(options, repository)


def _add_key(options: argparse.Namespace, repository: "Repository") -> None:
    repository.change_keys(options.role, add=_public([options.new]), threshold=options.threshold)
    _tell_pending(options, repository)


def _rotate(options: argparse.Namespace, repository: "Repository") -> None:
    old = _public([Path(options.old)])[0].keyid if options.old.endswith(".pub") else options.old
    repository.change_keys(options.role, add=_public([options.new]), remove=[old])
    _tell_pending(options, repository)


def _delegate(options: argparse.Namespace, repository: "Repository") -> None:
    repository.delegate(options.publisher, options.algorithm, _public(options.key), options.threshold)
    _tell_pending(options, repository)


def _status(options: argparse.Namespace, repository: "Repository") -> None:
    from device_catalog.packages.repository_status import status  # noqa: PLC0415 - loads TUF

    found = status(repository)
    if options.json:
        say_json(found)
        return
    for role in found:
        state = "not yet published"
        if role["version"]:
            state = f"version {role['version']}, until {role['expires']}"
        say(f"{role['role']}: {state}; {role['threshold']} of {len(role['keys'])} keys")
        for keyid in role["keys"]:
            say(f"  {keyid}")
        if role["pending"]:
            say(f"  pending: version {role['pending']}, {role['missing']} signatures missing")
        for target in role["targets"]:
            say(f"  {target}")


def _public(paths: list[Path]) -> list[Any]:
    from device_catalog.packages.keys import read_public  # noqa: PLC0415

    return [read_public(path) for path in paths]


def _tell_pending(options: argparse.Namespace, repository: "Repository") -> None:
    pending = {role: repository.missing(role) for role in repository.roles() if repository.pending(role) is not None}
    if options.json:
        say_json({"pending": pending})
        return
    for role, missing in pending.items():
        say(f"{role}: {f'{missing} signatures missing' if missing else 'signed by enough; publish it'}")
