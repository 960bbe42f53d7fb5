"""
How a device gets a certificate: with a token that works once, and a key that never leaves the device.

An operator has a token made and carries it to the meter. The token names the device, holds a secret, and the digests of
the authorities and of the root of trust: whoever stands between meter and catalog can put nothing else in their place.
Where the DSO states it, the token also names the least revision of the DSO's policy that this meter is to believe: a
fresh meter knows nothing else that would tell it an older signed repository from today's.
The meter makes a key, asks for a certificate with a signing request (PKCS #10), and verifies what comes back against
the token. The same key may ask again, so that an answer lost on the way costs nothing. Before its certificate ends it
asks for another one, with the certificate itself.
"""

import base64
import binascii
import hashlib
import re
from datetime import datetime
from typing import NamedTuple

import msgspec

from device_catalog.contract.documents import Strict
from device_catalog.contract.topics import is_identifier

AUTHORITY = "/v1/authority"
REVOCATIONS = "/v1/authority/revocations"
ENROLMENTS = "/v1/enrolments"
DEVICE_ENROLMENT = "/v1/devices/{device}/enrolment"
DEVICE_CERTIFICATE = "/v1/devices/{device}/certificate"
DEVICE_REVOCATION = "/v1/devices/{device}/revocation"

MAXIMUM_REQUEST = 8 * 1024
"""Longest signing request [characters]."""

MAXIMUM_TOKEN = 512
"""Longest token [characters]."""

LONGEST = 366 * 86_400.0
"""Longest a token may wait to be used [s]."""

HIGHEST_REVISION = 2**31 - 1
"""Of a policy, as a token or a device's configuration may ask for it."""

_secret = re.compile(r"[A-Za-z0-9_-]{43}")
_revision = re.compile(r"[1-9][0-9]{0,9}")


class EnrolmentWanted(Strict, frozen=True):
    """
    What an operator asks for a device to be let in.

    Attributes
    ----------
    seconds : float
        How long the token may be used [s].
    """

    seconds: float = 7 * 86_400.0


class EnrolmentGiven(msgspec.Struct, frozen=True):
    """
    What a token is made of; the secret is shown this once and kept nowhere.

    Attributes
    ----------
    device : str
    secret : str
    anchors : str
        Digest of the authorities that devices trust; see `digest`.
    root : str
        Digest of the root of trust the catalog has; empty where it has none.
    expires : datetime
    """

    device: str
    secret: str
    anchors: str
    root: str
    expires: datetime


class EnrolmentRequest(Strict, frozen=True):
    """
    What a device says to be let in.

    Attributes
    ----------
    device : str
    secret : str
    request : str
        Signing request, PEM.
    root : str
        Digest of the root of trust that the token promises; empty for none.
    """

    device: str
    secret: str
    request: str
    root: str = ""


class CertificateRequest(Strict, frozen=True):
    """What an enrolled device says to get another certificate: a signing request, PEM."""

    request: str


class Issued(msgspec.Struct, frozen=True):
    """
    A certificate, and what belongs to it.

    Attributes
    ----------
    device : str
    certificate : str
        The device's own and those between it and the anchors, PEM.
    anchors : str
        Authorities that vouch for catalog and brokers, PEM.
    not_before, not_after : datetime
    root : str
        The root of trust of signed algorithms, JSON; empty where the catalog has none.
    """

    device: str
    certificate: str
    anchors: str
    not_before: datetime
    not_after: datetime
    root: str = ""


class AuthorityDocument(msgspec.Struct, frozen=True):
    """The authorities that vouch for catalog and brokers, PEM."""

    anchors: str


class RevocationWanted(Strict, frozen=True):
    """Why a device is locked out."""

    reason: str = ""


class Revoked(msgspec.Struct, frozen=True):
    """What became void: how many certificates; its credential and its tokens are void too."""

    device: str
    certificates: int


class Token(NamedTuple):
    """
    A token, as it is carried to a meter.

    Attributes
    ----------
    device, secret : str
    anchors, root : str
        Digests; `root` may be empty.
    policy : int
        The least revision of the DSO's policy that the device takes; 0 for any, or none.

    Examples
    --------
    >>> token = Token("m-1", "s" * 43, digest(b"authorities"), digest(b"root"), 7)
    >>> Token.read(token.text()) == token
    True
    """

    device: str
    secret: str
    anchors: str
    root: str
    policy: int = 0

    def text(self) -> str:
        """Write it in one word."""
        floor = (str(self.policy),) if self.policy else ()
        return ".".join((self.device, self.secret, self.anchors, self.root, *floor))

    @classmethod
    def read(cls, text: str) -> "Token":
        """
        Read one.

        Raises
        ------
        ValueError
            Saying what a token is, and nothing of what was found: it may be a secret.
        """
        parts = text.strip().split(".")
        good = len(text) <= MAXIMUM_TOKEN and len(parts) in (4, 5)
        if good:
            device, secret, anchors, root = parts[:4]
            good = is_identifier(device) and bool(_secret.fullmatch(secret)) and _is_digest(anchors)
            good = good and (not root or _is_digest(root))
            # Without a root nothing is signed, and a floor could not be judged.
            good = good and (len(parts) == 4 or bool(root and is_policy_revision(parts[4])))
        if not good:
            raise ValueError(
                "expected a token as `tresma devices enrol` prints it (four or five parts with dots between), "
                "found something else; copy it whole"
            )
        return cls(device, secret, anchors, root, int(parts[4]) if len(parts) == 5 else 0)


def digest(content: bytes) -> str:
    """Write the SHA-256 of something as a token has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def is_policy_revision(text: str) -> bool:
    """
    Tell whether a text names a revision that a policy may have.

    >>> is_policy_revision("7"), is_policy_revision("0"), is_policy_revision("07")
    (True, False, False)
    """
    return bool(_revision.fullmatch(text)) and int(text) <= HIGHEST_REVISION


def _is_digest(text: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(text + "=")) == 32 and bool(_secret.fullmatch(text))
    except (binascii.Error, ValueError):
        return False
