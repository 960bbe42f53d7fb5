"""
Which certificate authorities the DSO's policy allows, for whoever makes a connection.

Where it stands: `policy_keeper` writes the list, `agent.identity.tls` asks for a file with the authorities that are
both known here and allowed. Where the policy lists none, those of the device's own configuration count. A list that
leaves nothing over gives an empty file, with which no connection comes about: a catalog that hands out an authority of
its own gains nothing.
"""

import hashlib
import re
import ssl
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.files import write_durably

_LIST, _FILE = "authorities", "authorities.pem"
_MOST = 2**20
_certificate = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def keep_list(state: Path, authorities: Sequence[str]) -> None:
    """
    Keep what a policy allows.

    Parameters
    ----------
    state : pathlib.Path
        The agent's folder.
    authorities : sequence of str
        SHA-256 of certificates (DER), in hexadecimal; none for no restriction.

    Raises
    ------
    OSError
    """
    path = state / "trust" / _LIST
    content = msgspec.json.encode(sorted(authorities))
    if (path.read_bytes() if path.exists() else b"[]") != content:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(path, content)


def stamp(state: Path) -> int:
    """Tell one list from the one before; 0 for none."""
    try:
        return (state / "trust" / _LIST).stat().st_mtime_ns
    except OSError:
        return 0


def allowed(state: Path, source: str) -> str:
    """
    Name a file with the authorities of `source` that are allowed.

    Parameters
    ----------
    state : pathlib.Path
    source : str
        File of certificates (PEM); empty for the system's own.

    Returns
    -------
    str
        `source` itself where nothing is restricted.

    Raises
    ------
    OSError
        When a file can be neither read nor written.
    """
    wanted = _read_list(state / "trust" / _LIST)
    if not wanted:
        return source
    text = ""
    if source:
        with Path(source).open(encoding="latin-1") as file:
            text = file.read(_MOST)
    kept = "".join(f"{one}\n" for one in _certificate.findall(text) if _digest(one) in wanted)
    path = state / "trust" / _FILE
    if not path.exists() or path.read_text() != kept:
        write_durably(path, kept.encode("latin-1"))
    return str(path)


def _read_list(path: Path) -> set[str]:
    try:
        return set(msgspec.json.decode(path.read_bytes(), type=list[str]))
    except FileNotFoundError:
        return set()
    except (msgspec.DecodeError, ValueError):
        return {"damaged"}  # allows nothing until the policy is read again


def _digest(certificate: str) -> str:
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    except ValueError:
        return ""
