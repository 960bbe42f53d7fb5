"""
``tresma devices enrol|revoke|lock``, ``tresma operator ...`` and ``tresma audit``: who is let in, and who did what.

A token is put together here, from what the catalog gives and, where they are named, from the root of trust and the
least policy that the operator has himself: then not even the catalog can put another root into a meter, or an older
policy before it.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from algorithms.api.errors import shortened
from device_catalog.contract.enrolment import (
    DEVICE_ENROLMENT,
    DEVICE_REVOCATION,
    EnrolmentGiven,
    EnrolmentWanted,
    RevocationWanted,
    Revoked,
    Token,
    digest,
    is_policy_revision,
)
from device_catalog.contract.operators import (
    AUDIT,
    OPERATOR,
    OPERATORS,
    AuditEntry,
    AuditPage,
    OperatorGiven,
    OperatorList,
    OperatorWanted,
    Role,
)
from device_catalog.contract.trust import MAXIMUM_ROOT
from device_catalog.operator.catalog import MAXIMUM_PAGES, Catalog, read
from device_catalog.operator.devices import new_file, write_secret
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import note, printable, say, say_json
from device_catalog.operator.settings import KEYS, read_settings
from device_catalog.packages.errors import RepositoryError

PAGE = 500
"""Entries of the audit trail asked for at a time."""

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_duration = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(s|min|h|d)")

ENROL_EXAMPLES = """\
The token works once and names the device; it goes onto the meter by hand. On the meter:
  tresma-agent enrol --catalog URL --token-file token
or name it in the agent's configuration (token_file: FILE). A token that was used is answered again to the same key.

A meter that was never online cannot tell your signed repository of today from an older one that somebody who holds the
catalog serves it. With --trust the token names the root of trust and the least revision of your policy, both from your
own repository: what is older, or has no policy, the meter does not take. Give --root and --policy where the repository
is on another machine.

examples:
  tresma devices enrol m-0042 --trust trust --output token
  tresma devices enrol m-0042 --expires 30d --root trust/metadata/1.root.json --policy 7 --output token
  tresma devices enrol m-0042 > token                      the catalog names the root, and no policy is asked for
"""

_OPERATOR_EXAMPLES = """\
Roles: viewer (looks), engineer (devices and networks), releaser (signed algorithms and rollouts), administrator; each
may do what those before it may.

examples:
  tresma operator add anna --role engineer --expires 90d
  tresma operator add city --role administrator --tenant city  sees and changes what is of that tenant only
  tresma operator list
  tresma operator revoke anna
"""

_AUDIT_EXAMPLES = """\
Each entry carries a digest of itself and of all before it. --verify goes through the whole trail and says where it was
changed; note the last digest it prints and give it with --expect next time, and a trail cut off at its end shows too.

examples:
  tresma audit --since 7d
  tresma audit --verify --expect 3f2a...
"""

AddCommand = Callable[..., argparse.ArgumentParser]


class AccessCatalog(Catalog):
    """A catalog, asked about who is let in."""

    def enrol(self, device: str, seconds: float) -> EnrolmentGiven:
        """Have a token made for a registered device."""
        answer, _ = self._exchange("POST", DEVICE_ENROLMENT, device, body=EnrolmentWanted(seconds))
        return read(answer, EnrolmentGiven)

    def revoke(self, device: str, reason: str) -> Revoked:
        """Lock a device out."""
        answer, _ = self._exchange("POST", DEVICE_REVOCATION, device, body=RevocationWanted(reason))
        return read(answer, Revoked)

    def operators(self) -> OperatorList:
        """List the operators."""
        return read(self._exchange("GET", OPERATORS)[0], OperatorList)

    def add_operator(self, wanted: OperatorWanted) -> OperatorGiven:
        """Take in an operator."""
        return read(self._exchange("POST", OPERATORS, body=wanted)[0], OperatorGiven)

    def revoke_operator(self, name: str) -> None:
        """Make an operator's token void."""
        self._exchange("DELETE", OPERATOR.format(operator=quote(name, safe="")))

    def audit(self, since: datetime | None) -> Iterator[AuditEntry]:
        """Go through the audit trail, newest first."""
        query = {"limit": str(PAGE), **({"since": since.isoformat()} if since else {})}
        for _ in range(MAXIMUM_PAGES):
            page = read(self._exchange("GET", AUDIT, query=query)[0], AuditPage)
            yield from page.items
            if not page.next:
                return
            query["cursor"] = page.next


def add_device_commands(commands: Any, command: AddCommand) -> None:
    """Add what concerns one device's way in."""
    enrol = command(commands, "enrol", "make a token that lets a device in once", ENROL_EXAMPLES)
    enrol.add_argument("device", metavar="ID")
    enrol.add_argument("--expires", type=duration, default=7 * 86_400.0, metavar="TIME", help="such as 12h or 7d (7d)")
    enrol.add_argument(
        "--root", metavar="FILE", help="the root of trust to be put into the meter, instead of the catalog's"
    )
    enrol.add_argument(
        "--trust", type=Path, metavar="FOLDER", help="your signed repository: its root, and its policy as the least"
    )
    enrol.add_argument(
        "--policy", type=_policy_revision, default=0, metavar="N", help="the least revision of your policy"
    )
    enrol.add_argument("--output", metavar="FILE", help="write the token there, readable by you alone")
    _calls(enrol, _enrol)
    for name, text in (
        ("revoke", "make certificates, credential and tokens of devices void at once"),
        ("lock", "the same as revoke: what to do about a stolen meter or card"),
    ):
        revoke = command(commands, name, text, "example:\n  tresma devices lock m-0042 --reason 'card stolen'")
        revoke.add_argument("device", metavar="ID", nargs="+")
        revoke.add_argument("--reason", default="", metavar="TEXT", help="for the record")
        _calls(revoke, _revoke)


def add_commands(subjects: Any, command: AddCommand, epilog: str) -> None:
    """Add the commands about operators and the audit trail."""
    subject = subjects.add_parser("operator", help="say who operates the catalog, and in which role", epilog=epilog)
    commands = subject.add_subparsers(required=True, metavar="add|list|revoke")
    add = command(commands, "add", "take in an operator; the token is shown this once", _OPERATOR_EXAMPLES)
    add.add_argument("operator", metavar="NAME")
    add.add_argument("--role", choices=[role.value for role in Role], required=True)
    add.add_argument("--tenant", default="", metavar="NAME", help="only what is this tenant's; all unless given")
    add.add_argument("--expires", type=duration, default=0.0, metavar="TIME", help="such as 90d; never unless given")
    add.add_argument("--output", metavar="FILE", help="write the token there, readable by you alone")
    _calls(add, _add_operator)
    _calls(command(commands, "list", "list the operators", ""), _list_operators)
    revoke = command(commands, "revoke", "make an operator's token void", "")
    revoke.add_argument("operator", metavar="NAME")
    _calls(revoke, _revoke_operator)

    audit = command(subjects, "audit", "see who did what", _AUDIT_EXAMPLES)
    audit.add_argument("--since", metavar="TIME", help="such as 7d, or 2026-05-01T12:00:00Z")
    audit.add_argument("--verify", action="store_true", help="make sure that nothing was changed or taken out")
    audit.add_argument("--expect", metavar="DIGEST", default="", help="with --verify: an entry that was there before")
    _calls(audit, _audit)


def duration(text: str) -> float:
    """
    Read a time such as ``7d`` [s].

    >>> duration("12h"), duration("7d")
    (43200.0, 604800.0)
    """
    found = _duration.fullmatch(text)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"expected a time such as 30min, 12h or 7d, found {text}")
    return float(found[1]) * _UNITS[found[2]]


def _enrol(options: argparse.Namespace, catalog: AccessCatalog) -> None:
    root, least = promised(options)
    target = new_file(options.output) if options.output else None
    given = catalog.enrol(options.device, options.expires)
    token = Token(given.device, given.secret, given.anchors, root or given.root, least).text()
    expires = f"{given.expires:%Y-%m-%d %H:%M} UTC"
    if target is not None:
        write_secret(target, token + "\n")
    if options.json:
        shown = {"device": given.device, "expires": given.expires, "catalog": catalog.base, "root": root or given.root}
        shown["policy"] = least
        say_json({**shown, "file": str(target)} if target is not None else {**shown, "token": token})
        return
    if not (root or given.root):
        note("warning: the catalog has no root of trust yet; without one this meter takes no signed algorithms")
    elif not least:
        note("warning: the token asks for no policy of yours; with --trust FOLDER this meter takes nothing older")
    note(f"a token for {given.device}; it works once, until {expires}. On the meter:")
    note(f"  tresma-agent enrol --catalog {catalog.base} --token-file FILE")
    say(f"the token is in {target}" if target is not None else token)


def promised(options: argparse.Namespace) -> tuple[str, int]:
    """
    Say what a token promises besides what the catalog gives: the digest of the root, and the least policy.

    Parameters
    ----------
    options : argparse.Namespace
        With ``trust``, ``root`` and ``policy``.

    Raises
    ------
    UsageError
        Where they contradict each other, or a policy is asked for without the root by which it is judged.
    OperatorError
        Where the repository cannot be read, or has an older policy than is asked for.
    """
    if options.trust is not None and options.root:
        raise UsageError("expected --trust or --root, found both; --trust takes the root of that repository")
    if options.policy and options.trust is None and not options.root:
        raise UsageError("expected --root or --trust beside --policy, found none; a policy is judged by a root")
    if options.trust is None:
        return (digest(_root(options.root)) if options.root else ""), options.policy
    try:
        from device_catalog.packages.repository import Repository  # noqa: PLC0415 - loads TUF

        root, revision = Repository(options.trust, datetime.now(UTC)).pinned()
    except ModuleNotFoundError as error:
        remedy = "install tresma[trust], or give --root and --policy"
        raise OperatorError(f"expected the library {error.name}, found none; {remedy}") from error
    except (RepositoryError, OSError) as error:
        raise OperatorError(str(error)) from error
    if options.policy > revision:
        found = f"revision {revision}" if revision else "none"
        raise OperatorError(
            f"expected a published policy of revision {options.policy} or newer in {options.trust}, found {found}; "
            "a meter with this token would take nothing"
        )
    return digest(root), options.policy or revision


def _policy_revision(text: str) -> int:
    if not is_policy_revision(text):
        raise argparse.ArgumentTypeError(f"expected a revision such as 7, found {text}")
    return int(text)


def _revoke(options: argparse.Namespace, catalog: AccessCatalog) -> None:
    revoked = [catalog.revoke(device, options.reason) for device in options.device]
    if options.json:
        say_json({"revoked": revoked})
        return
    for one in revoked:
        count = f"{one.certificates} certificate{'' if one.certificates == 1 else 's'}"
        say(f"{one.device} is locked out: {count}, its credential and its tokens are void")
    note("`tresma devices enrol` lets a device in again")


def _add_operator(options: argparse.Namespace, catalog: AccessCatalog) -> None:
    target = new_file(options.output) if options.output else None
    wanted = OperatorWanted(options.operator, Role(options.role), options.tenant, options.expires)
    given = catalog.add_operator(wanted)
    if target is not None:
        write_secret(target, given.token + "\n")
    if options.json:
        say_json(given.entry if target is not None else given)
        return
    note(f"{given.entry.operator} is now {_article(given.entry.role)} {given.entry.role.value}. Shown this once:")
    say(f"it is in {target}" if target is not None else given.token)


def _list_operators(options: argparse.Namespace, catalog: AccessCatalog) -> None:
    now = datetime.now(tz=UTC)
    for one in catalog.operators().items:
        if options.json:
            say_json(one)
            continue
        state = "in force"
        if one.revoked is not None:
            state = f"revoked {one.revoked:%Y-%m-%d}"
        elif one.expires is not None:
            state = f"{'expired' if one.expires <= now else 'until'} {one.expires:%Y-%m-%d %H:%M} UTC"
        say(f"{one.operator:<20} {one.role.value:<14} {one.tenant or 'all tenants':<20} {state}")


def _revoke_operator(options: argparse.Namespace, catalog: AccessCatalog) -> None:
    catalog.revoke_operator(options.operator)
    if options.json:
        say_json({"revoked": options.operator})
    else:
        say(f"the token of {options.operator} is void")


def _audit(options: argparse.Namespace, catalog: AccessCatalog) -> None:
    if options.verify:
        _verify(options, catalog)
        return
    for entry in catalog.audit(_since(options.since)):
        if options.json:
            say_json(entry)
            continue
        when = datetime.fromtimestamp(entry.time_ns / 1e9, UTC)
        who = f"{entry.actor} ({entry.role}{', ' + entry.tenant if entry.tenant else ''})"
        change = f"  {entry.before or '-'} -> {entry.after}" if entry.after else ""
        refused = "  refused" if entry.status == 403 else ""
        what = f"{entry.method} {printable(entry.path)}{change}{refused}"
        say(f"{entry.number:>7}  {when:%Y-%m-%d %H:%M:%S}  {who:<32} {entry.address:<15} {what}")


def _verify(options: argparse.Namespace, catalog: AccessCatalog) -> None:
    from device_catalog.storage.audit_trail import Act, Entry, problems_of  # noqa: PLC0415 - loads the database's packages

    entries = []
    for entry in catalog.audit(None):
        number, *fields, hashed = msgspec.structs.astuple(entry)
        entries.append(Entry(number, Act._make(fields), hashed))
    entries.reverse()
    problems = list(problems_of(entries))
    if options.expect and not any(entry.hash.startswith(options.expect) for entry in entries):
        problems.append(f"no entry has the digest {shortened(options.expect, 64)}: the trail was cut off, or made anew")
    last = entries[-1].hash if entries else ""
    if options.json:
        say_json({"entries": len(entries), "last": last, "problems": problems})
    elif not problems:
        say(f"{len(entries)} entries, none changed or taken out; the last has the digest {last}")
    if problems:
        raise OperatorError(f"the audit trail was changed: {'; '.join(problems[:5])}")


def _since(text: str | None) -> datetime | None:
    if not text:
        return None
    if _duration.fullmatch(text):
        return datetime.now(tz=UTC) - timedelta(seconds=duration(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--since: expected 7d or 2026-05-01T12:00:00Z, found {shortened(text)}") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _root(path: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
    try:
        right = len(content) <= MAXIMUM_ROOT and msgspec.json.decode(content)["signed"]["_type"] == "root"
    except (msgspec.DecodeError, KeyError, TypeError):
        right = False
    if not right:
        raise UsageError(f"{path}: expected the DSO's root of trust (metadata/1.root.json), found something else")
    return content


def _article(role: Role) -> str:
    return "an" if role in (Role.ENGINEER, Role.ADMINISTRATOR) else "a"


def _calls(parser: argparse.ArgumentParser, call: Callable[[argparse.Namespace, AccessCatalog], None]) -> None:
    def command(options: argparse.Namespace) -> None:
        said = {name: getattr(options, name, None) for name in KEYS}
        with AccessCatalog(read_settings(said)) as catalog:
            call(options, catalog)

    parser.set_defaults(command=command)
