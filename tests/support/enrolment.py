"""Devices that enrol: their keys, signing requests and what they say, and the configuration of an agent that does."""

import contextlib
import io
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.config import AgentConfig
from device_catalog.__main__ import main
from device_catalog.contract.enrolment import Token
from tests.support.catalog import CatalogProcess


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a device's key."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(device: str, key: ec.EllipticCurvePrivateKey | None = None) -> str:
    """Make what a device asks for a certificate with, PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key or new_key(), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def invite(catalog: CatalogProcess, device: str, **wanted: float) -> Token:
    """Have a token made for a registered device."""
    answer = catalog.operator("POST", f"/v1/devices/{device}/enrolment", json=wanted)
    assert answer.status_code == 201, answer.text
    given = answer.json()
    return Token(given["device"], given["secret"], given["anchors"], given["root"])


def enrol(
    catalog: CatalogProcess, token: Token, key: ec.EllipticCurvePrivateKey, device: str = ""
) -> requests.Response:
    """Ask for a certificate with a token."""
    name = device or token.device
    body = {"device": name, "secret": token.secret, "request": signing_request(name, key)}
    return requests.post(f"{catalog.url}/v1/enrolments", json=body, timeout=10, verify=catalog.verify)


def identity(catalog: CatalogProcess, device: str, folder: Path) -> Path:
    """Enrol a registered device; return the file with its key and certificate."""
    key = new_key()
    answer = enrol(catalog, invite(catalog, device), key)
    assert answer.status_code == 201, answer.text
    return write_identity(folder / f"{device}.pem", key, answer.json()["certificate"])


def write_identity(path: Path, key: ec.EllipticCurvePrivateKey, certificate: str) -> Path:
    """Write key and certificate into one file."""
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.encode())
    return path


def authority_certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None = None,
    issuer_key: ec.EllipticCurvePrivateKey | None = None,
    *,
    ca: bool = True,
) -> x509.Certificate:
    """Make a certificate as a DSO's own authority does; self-signed without an issuer."""
    now = datetime.now(UTC)
    flags = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=ca, crl_sign=ca, decipher_only=False, **dict.fromkeys(flags, False)
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer_key is not None:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(above, critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())


def pem(*certificates: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """Write certificates."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def catalog_command(catalog: CatalogProcess, *arguments: str) -> str:
    """Do what ``tresma-catalog`` does with these words over the catalog's folder; return what it said."""
    said, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaints):
        status = main([*arguments, f"--state={catalog.state}"])
    assert status == 0, complaints.getvalue()
    return said.getvalue()


def is_older(catalog: CatalogProcess, device: str, days: float) -> None:
    """Have a catalog remember a device's certificates as made so many days ago."""
    with closing(sqlite3.connect(catalog.state / "catalog.db", timeout=10)) as database, database:
        shift = days * 86_400 * 10**9
        statement = "UPDATE certificates SET not_before_ns = not_before_ns - ?, not_after_ns = not_after_ns - ?"
        database.execute(f"{statement} WHERE device = ?", (shift, shift, device))


def agent_config(catalog: CatalogProcess, device: str, folder: Path, **fields: Any) -> AgentConfig:
    """Write a token for a registered device, and the configuration of its agent."""
    (folder / "token").write_text(invite(catalog, device).text() + "\n")
    fields = {"token_file": str(folder / "token"), **fields}
    return AgentConfig(device, catalog.url, "", folder / "state", **fields)
