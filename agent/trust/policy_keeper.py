"""
The DSO's policy on this device: fetched, kept, replaced by a newer one and by nothing else.

Where it stands: `in_force` asks it before anything from elsewhere is believed. One of four states is reported:

- ``none``: no root of trust was given. Everything is believed, as in a laboratory.
- ``awaited``: a root was given, and what the DSO signed is not known yet. Nothing new is believed; what runs goes on.
- ``unrestricted``: the DSO signed that it has no policy. Only algorithms are judged by signatures.
- ``policy``: one is in force.

A meter that was never online cannot tell an older repository of the DSO's from today's: whoever holds a catalog and its
online keys can sign that the old one is the newest. So there is a *least* revision, the highest of what the meter's
configuration, its token, and all policies that were ever in force here say. What is older, or no policy at all, is not
taken, the state stays ``awaited``, and the report says why.

A policy is fetched by TUF's rules in a short-lived process, at the start and every hour, and sooner where something was
refused that a newer one might allow.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from agent.clock import Clock, synchronisation
from agent.config import AgentConfig
from agent.errors import TrustError
from agent.files import write_durably
from agent.identity.tls import anchors_of
from agent.request_thread import Requests, RequestThread
from agent.trust.authorities import keep_list
from agent.trust.decisions import RELEASED, Floors, Reading, trusted_time
from agent.trust.fetching import FetchedPolicy, Limits, fetch_policy, kept_floors
from device_catalog.contract.enrolment import is_policy_revision
from device_catalog.contract.policy import Policy
from device_catalog.contract.policy_rules import PolicyError, parse_policy

log = logging.getLogger(__name__)

INTERVAL = 3600.0
"""How often the policy is asked for [s]."""
RETRY = 60.0
"""How soon again where that failed [s]; doubles with each failure up to `INTERVAL`."""
REST = 10.0
"""Longest wait between two questions because something was refused [s]."""
FIRST = 15.0
"""The first policy is waited for this long before the catalog is asked what to do [s]."""
LIMITS = Limits(file=20.0, whole=120.0)

Fetch = Callable[..., FetchedPolicy]


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the DSO signed, as it is kept: empty where it signed that it has no policy; until when; its digest."""

    document: bytes
    expires: float
    sha256: str


class PolicyKeeper:
    """
    The policy of one device.

    Parameters
    ----------
    config : AgentConfig
    clock : Clock
    changed : callable
        Called when another policy is in force: what was refused may be allowed now.
    requests : Requests, optional
        A thread of its own unless given.
    fetch : callable, optional
        As `fetch_policy`.
    follows_utc : callable, optional
        Whether the clock is synchronised.

    Attributes
    ----------
    policy : Policy or None
    state : str
    until : float
        When the DSO's signatures expire [s since 1970].
    failure : str
        Why the policy was not renewed; empty where it was.
    least : int
        The least revision that is taken; 0 for any, or none.
    too_old : str
        Why what is served, or was kept, is not taken: it is below the least; empty where it is not.
    """

    def __init__(
        self,
        config: AgentConfig,
        clock: Clock,
        changed: Callable[[], None],
        *,
        requests: Requests | None = None,
        fetch: Fetch = fetch_policy,
        follows_utc: Callable[[], bool] = lambda: synchronisation().synchronised,
    ) -> None:
        self.policy: Policy | None = None
        self.state = "awaited" if config.root else "none"
        self.until = float("inf")
        self.failure = self.too_old = ""
        self.least = config.least_policy if config.root else 0
        self._config, self._clock, self._changed = config, clock, changed
        self._requests = requests or RequestThread("trust")
        self._fetch = fetch
        self._follows_utc = follows_utc
        self._path: Path = config.state_dir / "trust" / "policy"
        self._highest: Path = config.state_dir / "trust" / "policy-revision"
        self._floors = Floors()
        self._soon = asyncio.Event()
        self._chance = random.Random()

    @property
    def known(self) -> bool:
        """Whether it is known what the DSO signed."""
        return self.state in ("unrestricted", "policy")

    @property
    def expired(self) -> bool:
        """Whether what the DSO signed counts no more."""
        return self.known and self.now() > self.until

    def now(self) -> float:
        """Give the time at which an expiry is judged [s since 1970]."""
        return trusted_time(self._reading(), max(RELEASED, self._floors.time))

    def load(self) -> None:
        """Take up what is kept; what is damaged is as if it had not come yet."""
        if self.state == "none":
            return
        self._floors = kept_floors(self._config.state_dir)
        self.least = max(self.least, self._highest_revision())
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=Kept)
            if hashlib.sha256(kept.document).hexdigest() == kept.sha256:
                self._take(kept)
                return
        except FileNotFoundError:
            return
        except TrustError as error:
            log.warning("the policy that was kept is not taken: %s", error)
            self.failure = str(error)
            return
        except (OSError, msgspec.DecodeError, PolicyError, ValueError) as error:
            log.warning("the policy that was kept cannot be used: %s", error)
        self.failure = "the policy that was kept was damaged; it is fetched anew"

    def ask_soon(self) -> None:
        """Ask for the policy without waiting for the next turn: something was refused that a newer one may allow."""
        self._soon.set()

    async def first(self) -> None:
        """Fetch the first policy, as far as that is possible within a moment."""
        if self.state != "awaited":
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST):
                await self.refresh()

    async def hold(self) -> None:
        """Ask for the policy for ever."""
        failures = int(self.state == "awaited")
        while self.state != "none":
            pause = min(RETRY * 2.0 ** (failures - 1), INTERVAL) if failures else INTERVAL
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._soon.wait(), pause * (1 - 0.2 * self._chance.random()))
            self._soon.clear()
            failures = 0 if await self.refresh() else min(failures + 1, 10)
            await asyncio.sleep(REST * self._chance.random())

    async def refresh(self) -> bool:
        """Fetch the policy, and bring it into force where it is another; tell whether that went well."""
        config = self._config
        try:
            call = partial(
                self._fetch,
                state=config.state_dir,
                root=config.root,
                repository=config.catalog,
                clock=self._reading(),
                ca=anchors_of(config),
                limits=LIMITS,
            )
            fetched = await self._requests.run(call)
            self._floors = kept_floors(config.state_dir)
            self._replace(Kept(fetched.document, fetched.expires, hashlib.sha256(fetched.document).hexdigest()))
        except (TrustError, PolicyError, OSError) as error:
            if self.failure != str(error):
                log.warning("the DSO's policy is not renewed: %s", error)
            self.failure = str(error)
            return False
        self.failure = ""
        return True

    def close(self) -> None:
        """Ask no more."""
        self._requests.close()

    def _replace(self, kept: Kept) -> None:
        if self.policy is not None and not kept.document:
            raise TrustError("expected a policy, found that the DSO withdrew it; the one before stays in force")
        before = self.state, self.policy
        self._take(kept)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self._path, msgspec.json.encode(kept))
            if self.least > self._highest_revision():
                write_durably(self._highest, str(self.least).encode())
        except OSError as error:
            raise TrustError(f"the policy cannot be kept: {error.strerror or error}", passing=True) from error
        finally:
            if (self.state, self.policy) != before:
                self._changed()

    def _take(self, kept: Kept) -> None:
        policy = parse_policy(kept.document) if kept.document else None
        revision = policy.revision if policy is not None else 0
        if revision < self.least:
            found = f"revision {revision}" if revision else "none"
            goes_on = "the one before stays in force" if self.known else "nothing new is believed until it is there"
            self.too_old = (
                f"expected the DSO's policy of revision {self.least} or newer, found {found}; {goes_on}; "
                "bring the catalog what the DSO signed last (`tresma repository push`)"
            )
            raise TrustError(self.too_old)
        self.too_old, self.least = "", revision
        if policy is not None and policy != self.policy:
            log.info("the DSO's policy, revision %d, is in force", policy.revision)
        try:
            keep_list(self._config.state_dir, policy.authorities if policy is not None else ())
        except OSError as error:
            log.error("which authorities are allowed cannot be kept: %s", error.strerror or error)
        self.policy, self.until = policy, kept.expires
        self.state = "unrestricted" if policy is None else "policy"

    def _highest_revision(self) -> int:
        """Read the highest revision that was ever in force here; 0 for none."""
        try:
            text = self._highest.read_text(encoding="ascii")
        except (OSError, ValueError):
            return 0  # none yet, or a damaged card: the least of token and configuration still counts
        return int(text) if is_policy_revision(text) else 0

    def _reading(self) -> Reading:
        return Reading(self._clock.now_ns() / 1e9, self._follows_utc())
