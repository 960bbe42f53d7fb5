"""
``tresma network operate|lease``: a person's orders to switches, under the network's lease; who holds it.

An order goes straight to the switch on the grid broker (`switch_line`) and is confirmed by the switch itself. The lease
keeps everybody else from switching meanwhile, reconfigurators as well: every switch that is heard confirms it before
anything moves. It is given back at the end, after the catalog was told where the switches stand. The first order that
is not carried out ends it: nothing more is ordered.
"""

import argparse
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from algorithms.api.network_document import SwitchStates
from algorithms.api.switching import CLOSE, OPEN, UNLOCK, Outcome, SwitchReport, tags_of
from device_catalog.contract import paths
from device_catalog.contract.network_leases import LeaseGrant, LeaseRequest, SwitchNewsDocument
from device_catalog.contract.topics import is_identifier
from device_catalog.operator.catalog import Catalog, read
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.grid_broker import grid_broker
from device_catalog.operator.output import note, say, say_json
from device_catalog.operator.passphrases import commander
from device_catalog.operator.settings import KEYS, Settings, read_settings
from device_catalog.operator.switch_line import CLAIMING, SwitchLine

RETAINED = 5.0
"""How long a switch's last word may take to come from the broker [s]."""
PATIENCE = 60.0
"""How long a switch may take to carry out an order, unless told otherwise [s]."""
LONGEST = 300.0
"""The network is held for at most this long [s]."""
MARGIN = 5.0
"""A lease lasts so much longer than the orders under it [s]."""
HEARING = 1.0
"""Whoever of the network's switches has been heard within this is asked to confirm the lease [s]."""
LOCK = "operator"
"""Tag under which a switch is locked where none is given."""
_verbs = {"open": OPEN, "closed": CLOSE, "unlocked": UNLOCK, "locked": OPEN}

_OPERATE = """\
Orders are given one after the other, each confirmed by the switch before the next. A locked switch is unlocked under
the tag it is locked with, which is shown before you are asked; where there are several, say which. Lock what you work
at: nobody, no reconfigurator either, closes a switch that is locked open. A switch that is to be locked is opened
first, if it is not open.

examples:
  tresma network operate lv-feeder s-12=open tie-3=closed
  tresma network operate lv-feeder s-7=locked:work-31      open, and locked under the tag work-31
  tresma network operate lv-feeder s-7=unlocked s-7=closed --yes
  tresma network operate lv-feeder s-12=open --key anna.key     where the DSO's policy says who may
"""

_LEASE = """\
examples:
  tresma network lease lv-feeder             who may switch it now
  tresma network lease lv-feeder --end       take it away: nobody gets it until no order that was
                                             given under it can move anything any more
"""


class LeaseCatalog(Catalog):
    """The part of the catalog that is about leases of networks."""

    def acquire(self, network: str, holder: str, seconds: float, seen: int) -> LeaseGrant:
        """Ask for the right to switch a network, having seen switches obey a token."""
        path = paths.NETWORK_LEASE.format(network=network)
        return read(self._exchange("POST", path, body=LeaseRequest(holder, seconds, 0, seen))[0], LeaseGrant)

    def switches(self, network: str) -> list[str]:
        """Name the switches of a network."""
        return sorted(read(self._exchange("GET", paths.TOPOLOGY.format(network=network))[0], SwitchStates).states)

    def holder(self, network: str) -> LeaseGrant | None:
        """Tell who holds it; None for nobody."""
        try:
            return read(self._exchange("GET", paths.NETWORK_LEASE.format(network=network))[0], LeaseGrant)
        except OperatorError as error:
            if error.status == 404 and "nobody" in str(error):
                return None
            raise

    def tell(self, network: str, news: SwitchNewsDocument) -> None:
        """Say where switches stand."""
        self._exchange("POST", paths.NETWORK_LEASE_STATES.format(network=network), body=news)

    def release(self, grant: LeaseGrant) -> None:
        """Give it back."""
        query = {"holder": grant.holder, "token": str(grant.token)}
        self._exchange("DELETE", paths.NETWORK_LEASE.format(network=grant.network), query=query)

    def end(self, network: str) -> None:
        """Take it from whoever holds it."""
        self._exchange("DELETE", paths.NETWORK_LEASE.format(network=network))


@dataclass(frozen=True, slots=True)
class Wish:
    """What one switch shall do."""

    switch: str
    state: str
    tag: str = ""


def add_verbs(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    remote: Callable[..., argparse.ArgumentParser],
    _local: Callable[..., argparse.ArgumentParser],
) -> None:
    """Add ``operate`` and ``lease``."""
    operating = remote(commands, "operate", "open, close, lock and unlock switches", _OPERATE)
    operating.add_argument("network", metavar="NETWORK", type=_identifier)
    operating.add_argument("wishes", metavar="SWITCH=open|closed|locked[:TAG]|unlocked[:TAG]", nargs="+", type=_wish)
    operating.add_argument(
        "--grid", metavar="URL", help="grid broker, mqtt://host:port; asked of the catalog otherwise"
    )
    operating.add_argument("--tenant", metavar="NAME", help="of the switches; asked of the catalog otherwise")
    operating.add_argument("--patience", type=float, default=PATIENCE, metavar="S", help="for each order [s]")
    operating.add_argument("--key", type=Path, metavar="KEY", help="sign orders by this key, which the policy names")
    operating.add_argument("--passphrase-file", type=Path, metavar="FILE", help="otherwise it is asked for")
    operating.add_argument("--yes", action="store_true", help="do not ask")
    operating.set_defaults(command=operate)
    holding = remote(commands, "lease", "who may switch a network now", _LEASE)
    holding.add_argument("network", metavar="NETWORK", type=_identifier)
    holding.add_argument("--end", action="store_true", help="take it away")
    holding.set_defaults(command=lease)


def lease(options: argparse.Namespace) -> None:
    """Show who may switch a network, or take it away."""
    catalog = _catalog(_settings(options))
    if options.end:
        catalog.end(options.network)
    grant = catalog.holder(options.network)
    if options.json:
        say_json(grant)
    elif grant is None:
        say(f"{options.network}: nobody")
    else:
        say(f"{options.network}: {grant.holder} for {grant.seconds:.0f} s, token {grant.token}")


def operate(options: argparse.Namespace) -> None:
    """Give orders to switches, one after the other."""
    settings = _settings(options)
    if not 1.0 <= options.patience <= 120.0:
        raise UsageError(f"expected a patience of 1 to 120 s, found {options.patience:g}")
    sign = commander(options) if options.key is not None else None
    catalog = _catalog(settings)
    endpoint, tenant = grid_broker(options.network, catalog, settings, options.tenant or "")
    names = list(dict.fromkeys(wish.switch for wish in options.wishes))
    everybody = sorted({*names, *catalog.switches(options.network)})
    with SwitchLine(endpoint, settings.trust, tenant, everybody, sign) as line:
        line.listen(HEARING)
        for name in names:
            report = line.wait_for(name, lambda _: True, RETAINED)
            if report is None:
                raise OperatorError(f"expected {name} to have said where it stands, found nothing; is its agent there?")
            if not options.json:
                note(f"{name}: {_in_words(report)}")
        if not options.yes:
            _ask(options.wishes)
        holder = f"operator-{secrets.token_hex(4)}"
        asked = time.monotonic()
        wanted = min(LONGEST, (options.patience + MARGIN) * len(options.wishes) + CLAIMING + MARGIN)
        grant = catalog.acquire(options.network, holder, wanted, line.largest_token(options.network))
        try:
            line.claim(grant, names)
            for number, wish in enumerate(options.wishes, start=2):
                _expect_time(grant, wish, asked, options.patience)
                _carry_out(line, grant, wish, number, options)
        finally:
            line.outlive()
            states = {name: line.reports[name].state for name in names if name in line.reports}
            known = {name: state for name, state in states.items() if state is not None}
            with suppress(OperatorError):  # the reports themselves are on the broker
                catalog.tell(options.network, SwitchNewsDocument(grant.holder, grant.token, known))
            catalog.release(grant)
    if options.json:
        say_json({name: line.reports[name] for name in names})


def _expect_time(grant: LeaseGrant, wish: Wish, asked: float, patience: float) -> None:
    """Refuse an order that would outlive the lease, which was asked for at `asked` by the steady clock [s]."""
    if time.monotonic() + patience > asked + grant.seconds:
        raise OperatorError(
            f"the lease of {grant.network} ends before {wish.switch} could answer; nothing more is ordered"
        )


def _carry_out(line: SwitchLine, grant: LeaseGrant, wish: Wish, number: int, options: argparse.Namespace) -> None:
    tag = _lock_to_take_off(wish, line.reports[wish.switch]) if wish.state == "unlocked" else wish.tag
    command = line.order(grant, wish.switch, _verbs[wish.state], number, tag, options.patience)
    final = (Outcome.DONE, Outcome.REFUSED, Outcome.FAILED)
    report = line.wait_for(
        wish.switch, lambda one: one.command == command.id and one.outcome in final, options.patience
    )
    if report is not None:
        line.until = 0.0  # it is over: nothing of it moves any more
    if report is None:
        hint = "" if options.key is not None else "; where a policy is in force, orders need --key"
        raise OperatorError(
            f"{wish.switch} did not answer within {options.patience:g} s; nothing more is ordered{hint}"
        )
    if report.outcome is not Outcome.DONE:
        raise OperatorError(f"{wish.switch} {report.outcome}: {report.reason}; nothing more is ordered")
    if not options.json:
        say(f"{wish.switch}: {_in_words(report)}")


def _lock_to_take_off(wish: Wish, report: SwitchReport) -> str:
    """Say under which lock to unlock: one may stand for another crew, or another fault."""
    present = sorted(tags_of(report.tag))
    if wish.tag and wish.tag not in present:
        found = f"under {' and '.join(present)}" if present else "under nothing"
        raise OperatorError(f"expected {wish.switch} to be locked under {wish.tag}, found it locked {found}")
    if not wish.tag and len(present) > 1:
        raise OperatorError(
            f"{wish.switch} is locked under {' and '.join(present)}: say which lock is to go, such as "
            f"{wish.switch}=unlocked:{present[0]}"
        )
    return wish.tag or report.tag


def _in_words(report: SwitchReport) -> str:
    where = report.state.value if report.state is not None else "moving"
    locked = f", locked under {report.tag}" if report.tag else ""
    return f"{where}{locked}{', locked out by its protection' if report.lockout else ''}"


def _ask(wishes: list[Wish]) -> None:
    said = ", ".join(f"{wish.switch}={wish.state}{':' * bool(wish.tag)}{wish.tag}" for wish in wishes)
    try:
        answer = input(f"operate {said}? [y/N] ")
    except EOFError as error:
        raise UsageError("expected an answer, found no terminal; give --yes") from error
    if answer.strip().lower() not in ("y", "yes"):
        raise OperatorError("nothing was ordered")


def _wish(text: str) -> Wish:
    name, _, state = text.partition("=")
    state, colon, tag = state.partition(":")
    if state == "locked" and not colon:
        tag = LOCK
    named = is_identifier(tag)
    tagged = {"locked": named, "unlocked": named or not colon}.get(state, not colon)
    if not is_identifier(name) or state not in _verbs or not tagged:
        raise argparse.ArgumentTypeError(
            f"expected SWITCH=open, =closed, =locked, =locked:TAG, =unlocked or =unlocked:TAG, found {text[:80]!r}"
        )
    return Wish(name, state, tag)


def _identifier(text: str) -> str:
    if not is_identifier(text):
        raise argparse.ArgumentTypeError(f"expected letters, digits, _ and - (at most 64), found {text[:80]!r}")
    return text


def _settings(options: argparse.Namespace) -> Settings:
    return read_settings({key: getattr(options, key, None) for key in KEYS})


def _catalog(settings: Settings) -> LeaseCatalog:
    return LeaseCatalog(settings)
