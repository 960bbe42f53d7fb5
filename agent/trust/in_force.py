"""
What this device believes, and whom: settings, orders and its own orders come here to be judged.

Where it stands: owned by `service`. The policy is `policy_keeper`'s, the rules are `judgement`'s, what was obeyed is
`orders`'. Where no root of trust was given, everything is believed, and the report says so.
"""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from agent.allowance import Allowance
from agent.calibration import own_calibration
from agent.config import AgentConfig
from agent.files import write_durably
from agent.store import Store
from agent.trust import judgement
from agent.trust.judgement import DesiredFloor
from agent.trust.orders import OrderMemory
from agent.trust.policy_keeper import PolicyKeeper
from algorithms.api.errors import Problem
from algorithms.api.records import Command
from algorithms.api.wire import NANOSECONDS
from device_catalog.contract.documents import Desired
from device_catalog.contract.reports import TrustReport
from device_catalog.contract.signatures import key_id
from device_catalog.contract.trust import TARGETS_ROLE

if TYPE_CHECKING:
    from agent.trust.signing import CommandKey

log = logging.getLogger(__name__)

TOLD = 10
"""Refused orders told a minute; the rest is a number."""


class TrustInForce:
    """
    Judges what comes from elsewhere by the policy in force.

    Parameters
    ----------
    config : AgentConfig
    keeper : PolicyKeeper
    """

    def __init__(self, config: AgentConfig, keeper: PolicyKeeper) -> None:
        self._config, self._keeper = config, keeper
        self._folder = config.state_dir / "trust"
        self._floor = DesiredFloor()
        self._orders = OrderMemory(self._folder / "orders.json")
        self._key: CommandKey | None = None
        self._doubt = self._refusal = ""
        self._refused = 0
        self._told = Allowance(TOLD)
        self._unable = ""

    def load(self) -> None:
        """
        Take up what is kept; once, before anything is judged.

        Raises
        ------
        ConfigError
            When this device's command key cannot be read.
        """
        if (self._config.state_dir / "command.key").exists():
            from agent.trust.signing import read_command_key  # noqa: PLC0415 - cryptography, where it is needed

            self._key = read_command_key(self._config.state_dir)
        self._keeper.load()
        if self._keeper.state != "none":
            self._unable = _library()
            self._orders.load()
            self._floor = self._read_floor()

    # ---- settings

    def is_forged(self, document: bytes, signature: str) -> bool:
        """Tell whether a document that was kept bears the name of a director that did not sign it."""
        policy = self._keeper.policy
        return policy is not None and not self._unable and judgement.is_forged(policy, document, signature, _verify)

    def problems_of_origin(self, document: bytes, signature: str, *, known: bool) -> list[Problem]:
        """
        Say why a document is not believed; nothing where it is.

        Parameters
        ----------
        document : bytes
        signature : str
            As its header has it.
        known : bool
            Whether it was in force before: then it goes on, and is told.
        """
        problems: list[Problem] = []
        policy = self._keeper.policy
        if self._keeper.state == "awaited":
            why = self._keeper.failure or "nothing yet"
            problems = [Problem("trust", "what the DSO signed, before anything is believed", why)]
        elif policy is not None:
            problems = judgement.problems_of_origin(policy, document, signature, _verify)
        if problems and known:
            self._doubt = f"what is in force is from before: {problems[0]}"
            return []
        if problems:
            self._keeper.ask_soon()
        return problems

    def problems_of_document(self, desired: Desired, *, known: bool) -> list[Problem]:
        """Find everything in a believed document that the policy does not allow; as `problems_of_origin`."""
        policy = self._keeper.policy
        if policy is None:
            return []
        if self._is_own_calibration(desired):  # somebody measured it here; the catalog only gives it back
            desired = msgspec.structs.replace(desired, calibration=None)
        problems = judgement.problems_of_document(
            policy, desired, self._floor, now=self._keeper.now(), policy_until=self._keeper.until
        )
        if known:
            lasting = [one for one in problems if one.where not in ("policy", "expires", "revision", "issued")]
            self._doubt = self._doubt or (f"what is in force is from before: {lasting[0]}" if lasting else "")
            return []
        if problems:
            self._keeper.ask_soon()
        return problems

    def _is_own_calibration(self, desired: Desired) -> bool:
        if desired.calibration is None:
            return False
        own, _ = own_calibration(Store(self._config.state_dir).calibration(), desired.device)
        return own == desired.calibration

    def in_force(self, desired: Desired, *, known: bool) -> None:
        """Take note of what is in force now, so that nothing older comes again."""
        if known or self._keeper.state == "none":
            return
        self._doubt = ""
        floor = DesiredFloor(desired.revision, desired.issued.timestamp())
        if floor == self._floor:
            return
        self._floor = floor
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self._folder / "desired", msgspec.json.encode(floor))
        except OSError as error:
            log.error("the revision in force cannot be kept: %s", error.strerror or error)

    def _read_floor(self) -> DesiredFloor:
        try:
            return msgspec.json.decode((self._folder / "desired").read_bytes(), type=DesiredFloor)
        except (FileNotFoundError, msgspec.DecodeError, ValueError):
            return DesiredFloor()  # the settings themselves are kept as well

    # ---- orders

    def now_ns(self, clock_ns: int) -> int:
        """Say when an order is judged [ns UTC]: a clock that was set back makes none valid again that was held back."""
        return clock_ns if self._keeper.state == "none" else max(clock_ns, round(self._keeper.now() * NANOSECONDS))

    def objection(self, command: Command, network: str | None) -> str:
        """
        Say why an order is not obeyed; nothing where it is, and then it is noted.

        Parameters
        ----------
        command : Command
        network : str or None
            Of an order to a switch; None for one to this device.
        """
        policy = self._keeper.policy
        if self._keeper.state in ("none", "unrestricted"):
            return ""
        if policy is None:
            found = "expected what the DSO signed before any order is obeyed, found nothing yet"
        else:
            found = judgement.objection(policy, command, self._config.device, network, _verify)
            if not found:
                self._orders.keep_only(key_id(key.public) for key in policy.commanders)
                found = self._orders.admit(command)
        if found:
            self._refused += 1
            if self._told.take():
                self._refusal = f"order {command.id}: {found}"
        return found

    def signed(self, command: Command, maker: str) -> tuple[Command, str]:
        """
        Sign an order that an algorithm of this device proposes.

        Parameters
        ----------
        command : Command
        maker : str
            The algorithm.

        Returns
        -------
        Command
        str
            Why it must not be sent; empty where it may.
        """
        policy = self._keeper.policy
        if policy is not None and maker not in policy.commanding:
            return command, f"expected an algorithm that the policy lets command, found {maker}"
        if self._key is not None:
            command = self._key.signed(command)
        if policy is not None and (self._key is None or policy.commander(self._key.key_id) is None):
            has = "one that it does not name" if self._key is not None else "none"
            return command, f"expected a key of this device that the policy names, found {has}; see command-key"
        return command, ""

    # ---- code

    def wants_box(self, signer: str) -> bool:
        """
        Tell whether code may run in bubblewrap only: that of publishers, unless the policy lets it run as the rest.

        What is not known counts as the stricter: who signed what is on the card, and the policy while it is awaited.
        """
        policy = self._keeper.policy
        wanted = self._keeper.state == "awaited" if policy is None else policy.bubblewrap
        return wanted and signer != TARGETS_ROLE

    # ---- what others look at

    def report(self) -> TrustReport:
        """Say how it is."""
        keeper = self._keeper
        return TrustReport(
            state=keeper.state,
            policy=keeper.policy.revision if keeper.policy is not None else 0,
            expires=datetime.fromtimestamp(keeper.until, UTC) if keeper.known else None,
            command_key=self._key.public if self._key is not None else "",
            refused_orders=self._refused,
            last_refusal=self._refusal,
            last_error=keeper.failure,
            least_policy=keeper.least,
        )

    def problems(self) -> list[str]:
        """Say what an operator should know."""
        found = [one for one in (self._unable, self._doubt, self._orders.problem, self._keeper.too_old) if one]
        if self._keeper.expired:
            found.append("the DSO's signatures have expired: nothing new is taken until targets are signed anew")
        return found


def _library() -> str:
    """Say what keeps signatures from being verified; without the library none is right, and what runs goes on."""
    try:
        import cryptography  # noqa: F401, PLC0415 - only asked for
    except ModuleNotFoundError:
        return "expected the library cryptography to verify signatures, found none: install python3-cryptography"
    return ""


def _verify(public: str, signature: bytes, data: bytes) -> bool:
    try:
        from agent.trust.signing import verifies  # noqa: PLC0415 - cryptography, where it is needed
    except ModuleNotFoundError:
        return False  # told by `problems`

    return verifies(public, signature, data)
