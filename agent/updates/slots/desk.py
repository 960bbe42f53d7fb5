"""
What the helper does for the agent, and what it does not.

Where it stands: made by `command` for each connection; it alone touches slots. It trusts the pinned root, the image's
own word on what it is, and its ledger. From the agent it takes bytes, which it judges, and requests, which can at worst
restart the machine into something that enough of targets' keys signed and that is no older than what was confirmed.

Rules: a slot is marked as not to be booted, and that is durable, before its first byte changes. Only one that was
written whole and read back can be tried, or the one that was in force before. Whatever is cut off anywhere leaves the
default slot and what boots as they were.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from agent.clock import synchronisation
from agent.errors import SlotError, TrustError
from agent.trust.decisions import Reading
from agent.trust.image_fetching import FetchedImage
from agent.updates.slots import messages
from agent.updates.slots.backend import Backend, Inactive, Slots
from agent.updates.slots.ledger import Ledger
from agent.updates.slots.messages import MAXIMUM_OFFER, Offer, SlotContent, SlotRequest, SlotStatus
from agent.updates.slots.writing import RATE, digest_of, write_image
from algorithms.api.errors import printable, shortened
from device_catalog.contract.images import About, ImageManifest

log = logging.getLogger(__name__)


class Surroundings(NamedTuple):
    """
    Where the helper finds what it believes, and how it restarts the machine.

    Attributes
    ----------
    state : pathlib.Path
        Its own folder, which only root may write.
    about : pathlib.Path
        What the running image says of itself.
    health : pathlib.Path
        What the image's own watch says of its health, where it has one.
    root : callable
        Gives the pinned root of trust; empty for none.
    restart : callable
        Restarts the machine, and returns at once.
    now : callable
        Reads the clock [s since 1970].
    rate : float
        A slot is written at most so fast [bytes/s].
    judge : callable or None
        As `offered.judged`, which is the default.
    """

    state: Path
    about: Path
    health: Path
    root: Callable[[], bytes]
    restart: Callable[[], object]
    now: Callable[[], Reading]
    rate: float = RATE
    judge: Callable[..., FetchedImage] | None = None


Tell = Callable[[float], None]


class Desk:
    """
    Takes requests.

    Parameters
    ----------
    backend : Backend
    surroundings : Surroundings
    """

    def __init__(self, backend: Backend, surroundings: Surroundings) -> None:
        self._backend = backend
        self._at = surroundings

    def answer(self, request: SlotRequest, files: list[BinaryIO], tell: Tell) -> SlotStatus:
        """
        Do what is asked.

        Parameters
        ----------
        request : SlotRequest
        files : list of files
            Offer and payload, where an image is to be written.
        tell : callable
            Takes how far it is [1].

        Raises
        ------
        SlotError
            When it is not done; says whether that may pass.
        """
        try:
            with self._alone():
                slots, ledger = self._settled()
                match request.do:
                    case messages.STATUS:
                        return self._status(slots, ledger)
                    case messages.WRITE:
                        self._write(request, files, tell, slots, ledger)
                    case messages.TRY:
                        self._try(slots, ledger)
                    case messages.GOOD:
                        self._good(slots)
                    case messages.LEAVE:
                        self._leave(request.reason, slots, ledger)
                    case messages.SPOIL:
                        self._spoil(request.reason, slots, ledger)
                    case _:
                        raise SlotError(f"expected a request that is known, found {shortened(request.do, 20)}")
                return self._status(*self._settled())
        except TrustError as error:
            raise SlotError(str(error), passing=error.passing) from error
        except OSError as error:
            found = error.strerror or str(error)
            raise SlotError(f"expected slots and a folder that can be written, found: {found}", passing=True) from error

    def leave_if_overdue(self, reason: str) -> bool:
        """
        Leave what runs on trial, because nobody confirmed it; tell whether there was such a thing.

        Raises
        ------
        SlotError
        """
        if not self.is_on_trial():
            return False
        self.answer(SlotRequest(messages.LEAVE, reason=reason), [], lambda _: None)
        return True

    def is_on_trial(self) -> bool:
        """
        Tell whether what runs was not confirmed yet.

        Raises
        ------
        SlotError
        """
        slots = self._backend.status()
        return slots.trying == slots.booted

    # ---- what is asked

    def _write(self, request: SlotRequest, files: list[BinaryIO], tell: Tell, slots: Slots, ledger: Ledger) -> None:
        if slots.trying:
            raise SlotError("expected no slot on trial while another image is written, found one", passing=True)
        if len(files) != 2:
            raise SlotError(f"expected an offer and a payload beside the request, found {len(files)} descriptors")
        offer, payload = files
        manifest, digest = self._judged(request, _read_offer(offer), ledger)
        inactive = self._backend.inactive()
        content = SlotContent(manifest.name, manifest.version, manifest.release, digest, "written")
        if ledger[inactive.slot] == content and _stands(manifest, inactive, tell):
            return
        ledger.enter(inactive.slot, msgspec.structs.replace(content, state="writing"))
        self._backend.mark("bad", inactive.slot)
        log.info("writing %s %s into slot %s", manifest.name, manifest.version, inactive.slot)
        write_image(manifest, payload, Path(inactive.device), inactive.size, tell, rate=self._at.rate)
        ledger.enter(inactive.slot, content)

    def _judged(self, request: SlotRequest, offer: Offer, ledger: Ledger) -> tuple[ImageManifest, str]:
        """Judge an image by what is pinned here, and whether it is for this machine; give its digest, too."""
        root = self._at.root()
        if not root:
            remedy = "put it into /etc/tresma/root.json"
            raise SlotError(f"expected a root of trust to judge images by, found none; {remedy}")
        about = self._about()
        if about is None:
            raise SlotError(f"expected {self._at.about} to say which image this is, found nothing that can be read")
        found = (self._at.judge or _judge)(
            offer,
            request.name,
            request.version,
            state=self._at.state,
            root=root,
            clock=self._at.now(),
            least=max(ledger.floor(request.name), about.release if about.name == request.name else 0),
        )
        manifest = found.manifest
        if manifest.name != about.name or about.compatible not in manifest.compatible:
            raise SlotError(
                f"expected an image {about.name} for {about.compatible}, found {manifest.name} for "
                f"{shortened(', '.join(manifest.compatible), 200)}"
            )
        return manifest, hashlib.sha256(found.data).hexdigest()

    def _try(self, slots: Slots, ledger: Ledger) -> None:
        if slots.trying == slots.booted:
            raise SlotError("expected what runs to be confirmed before another one is tried, found it on trial")
        slot = self._other(slots)
        content = ledger[slot]
        if content.state not in ("written", "good"):
            found = content.state or "nothing"
            raise SlotError(f"expected in slot {slot} an image that was written whole, found {found}")
        self._backend.mark("try", slot)
        log.info("restarting to try %s %s in slot %s", content.name, content.version, slot)
        try:
            self._at.restart()
        except SlotError:
            self._backend.mark("bad", slot)  # else a start for any other reason would be its trial
            raise

    def _good(self, slots: Slots) -> None:
        if slots.trying == slots.booted and _unhealthy(self._at.health):
            raise SlotError("expected a healthy system, found that it says of itself it is not", passing=True)
        self._backend.mark("good")

    def _leave(self, reason: str, slots: Slots, ledger: Ledger) -> None:
        if slots.trying != slots.booted:
            raise SlotError("expected what runs to be on trial, found it confirmed; it stays")
        _fail(slots.booted, reason, ledger)  # it was armed for one start, and what runs cannot be spoilt
        log.warning("slot %s is left: %s", slots.booted, reason)
        self._at.restart()

    def _spoil(self, reason: str, slots: Slots, ledger: Ledger) -> None:
        slot = self._other(slots)
        if slot == slots.default:
            raise SlotError("expected another slot than the default to be spoilt, found that one")
        _fail(slot, reason, ledger)
        self._backend.mark("bad", slot)

    # ---- what is

    def _settled(self) -> tuple[Slots, Ledger]:
        """Read how it is; what runs and is the default is good, whatever a cut kept from being written."""
        slots, ledger = self._backend.status(), Ledger(self._at.state)
        with contextlib.suppress(OSError):  # none yet; pinned with the first question, while the meter is new
            self._at.root()
        about = self._about()
        if about is not None:
            running = SlotContent(about.name, about.version, about.release)
            known = ledger[slots.booted]
            if not known.is_same(running):
                known = running
            on_trial = slots.trying == slots.booted
            if slots.booted == slots.default and not on_trial:
                known = msgspec.structs.replace(known, state="good", reason="")
            ledger.enter(slots.booted, known)
        other = self._other(slots)
        if not slots.trying and ledger[other].state == "failed" and slots.slots[other].state not in ("bad", "empty"):
            self._backend.mark("bad", other)
        return slots, ledger

    def _status(self, slots: Slots, ledger: Ledger) -> SlotStatus:
        about = self._about()
        contents = {slot: ledger[slot] for slot in slots.slots}
        floor = 0 if about is None else max(ledger.floor(about.name), about.release)
        compatible = "" if about is None else about.compatible
        return SlotStatus(slots.booted, slots.default, slots.trying, contents, floor, compatible)

    def _about(self) -> About | None:
        try:
            return msgspec.json.decode(self._at.about.read_bytes(), type=About)
        except (OSError, msgspec.DecodeError):
            return None

    def _other(self, slots: Slots) -> str:
        return next(slot for slot in sorted(slots.slots) if slot != slots.booted)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._at.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._at.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            found = "expected to be the only one at the slots, found another; try again"
            raise SlotError(found, passing=True) from error
        finally:
            os.close(descriptor)


def _fail(slot: str, reason: str, ledger: Ledger) -> None:
    """Enter that what stands in a slot is no good."""
    words = shortened(printable(reason), 500)
    ledger.enter(slot, msgspec.structs.replace(ledger[slot], state="failed", reason=words))


def reading() -> Reading:
    """Read this machine's clock."""
    return Reading(time.time(), synchronisation().synchronised)


def _judge(*arguments: Any, **named: Any) -> FetchedImage:
    from agent.updates.slots.offered import judged  # noqa: PLC0415 - loads TUF, where something is to be judged

    return judged(*arguments, **named)


def _read_offer(file: BinaryIO) -> Offer:
    content = file.read(MAXIMUM_OFFER + 1)
    if len(content) > MAXIMUM_OFFER:
        raise SlotError(f"expected an offer of at most {MAXIMUM_OFFER} bytes, found more")
    try:
        return msgspec.json.decode(content, type=Offer)
    except msgspec.DecodeError as error:
        raise SlotError(f"expected an offer, found: {shortened(str(error), 200)}") from error


def _stands(manifest: ImageManifest, inactive: Inactive, tell: Tell) -> bool:
    """Tell whether an image that was written still stands there."""
    return digest_of(Path(inactive.device), manifest.length, tell) == manifest.sha256


def _unhealthy(path: Path) -> bool:
    """Tell whether the image's own watch says that it is not well; where there is none, nothing is said."""
    try:
        verdict = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    return isinstance(verdict, dict) and verdict.get("healthy") is False
