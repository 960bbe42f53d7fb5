"""The catalog's authority, judged by OpenSSL: what it makes is believed for what it is, and for nothing else."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from device_catalog.authority.authority import Authority, read_request
from device_catalog.authority.bundle import NAME, key_pem, open_bundle, read_bundle
from device_catalog.config import ConfigError
from device_catalog.errors import Refused
from tests.support.enrolment import authority_certificate, pem, signing_request

NOW = datetime.now(UTC)


def openssl(*arguments):
    program = shutil.which("openssl")
    assert program is not None, "OpenSSL is needed: apt install openssl"
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def dso():
    """A root, and an intermediate that the catalog is given."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = authority_certificate("DSO root", root_key)
    return root, authority_certificate("DSO meters", key, root, root_key), key


def write(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.pem").write_bytes(content if isinstance(content, bytes) else content.encode())
    return {name: folder / f"{name}.pem" for name in files}


def test_a_devices_certificate_is_for_clients_and_a_servers_for_servers(tmp_path):
    authority = Authority.open(tmp_path / "authority")
    made = authority.certify(read_request(signing_request("m-1")), "m-1", timedelta(days=30), NOW)
    files = write(tmp_path, ca=authority.anchors, device=made.pem, server=authority.server(["broker.example"], NOW))
    for name, purpose, right in (
        ("device", "sslclient", True),
        ("device", "sslserver", False),
        ("server", "sslserver", True),
        ("server", "sslclient", False),
    ):
        assert openssl("verify", "-CAfile", files["ca"], "-purpose", purpose, files[name])[0] is right, (name, purpose)
    for host, right in (("broker.example", True), ("elsewhere.example", False)):
        assert openssl("verify", "-CAfile", files["ca"], "-verify_hostname", host, files["server"])[0] is right
    assert "CN = m-1" in openssl("x509", "-in", files["device"], "-noout", "-subject")[1].replace("CN=", "CN = ")


def test_the_authority_is_made_once_and_nobody_else_may_read_its_key(tmp_path):
    first = Authority.open(tmp_path)
    assert Authority.open(tmp_path).anchors == first.anchors
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in (tmp_path / "anchors.pem").read_text()


def test_what_is_revoked_is_refused_and_the_rest_is_not(tmp_path):
    authority = Authority.open(tmp_path / "authority")
    gone, stays = (
        authority.certify(read_request(signing_request(name)), name, timedelta(days=30), NOW) for name in ("m-1", "m-2")
    )
    void = authority.revocations([(gone.serial, NOW)], NOW)
    files = write(tmp_path, ca=authority.anchors, gone=gone.pem, stays=stays.pem, void=void)
    for name, right in (("gone", False), ("stays", True)):
        known = ("-CAfile", files["ca"], "-CRLfile", files["void"], "-crl_check")
        assert openssl("verify", *known, files[name])[0] is right, name


def test_an_intermediate_of_the_dsos_own_signs_and_its_root_is_what_is_trusted(tmp_path, dso):
    root, intermediate, key = dso
    authority = Authority(read_bundle(key_pem(key) + pem(intermediate, root), "given"))
    made = authority.certify(read_request(signing_request("m-1")), "m-1", timedelta(days=30), NOW)
    files = write(tmp_path, root=pem(root), chain=pem(intermediate), device=made.pem)
    assert authority.anchors.encode() == pem(root)
    assert openssl("verify", "-CAfile", files["root"], "-untrusted", files["chain"], files["device"])[0]
    assert made.pem.count("BEGIN CERTIFICATE") == 2, "the intermediate goes with it, the root does not"


def test_what_cannot_sign_is_refused_with_what_is_missing(dso):
    root, intermediate, key = dso
    other = ec.generate_private_key(ec.SECP256R1())
    leaf = authority_certificate("leaf", key, ca=False)
    for content, found in (
        (pem(root), "none that can be read"),
        (key_pem(key), "none that can be read"),
        (key_pem(other) + pem(intermediate, root), "certificates of other keys"),
        (key_pem(key) + pem(intermediate), "no self-signed"),
        (key_pem(key) + pem(leaf), "one that may not"),
        (key_pem(key) + pem(intermediate, authority_certificate("another root", other)), "none of CN=DSO root"),
    ):
        with pytest.raises(ConfigError) as refused:
            read_bundle(content, "given")
        assert found in str(refused.value), found
        assert "PRIVATE" not in str(refused.value)


def test_a_damaged_file_is_told_and_not_replaced(tmp_path):
    Authority.open(tmp_path)
    (tmp_path / NAME).write_bytes(b"damaged")
    with pytest.raises(ConfigError):
        open_bundle(tmp_path)
    assert (tmp_path / NAME).read_bytes() == b"damaged"


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE REQUEST-----\n", "x" * 10_000])
def test_what_is_no_signing_request_is_refused(text):
    with pytest.raises(Refused, match="signing request"):
        read_request(text)


def test_a_request_of_another_key_kind_or_for_another_device_is_refused(tmp_path):
    weak = ec.generate_private_key(ec.SECP192R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "m-1")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(weak, hashes.SHA256())
    with pytest.raises(Refused, match="another kind"):
        read_request(pem(request).decode())
    authority = Authority.open(tmp_path)
    with pytest.raises(Refused, match="a signing request of m-2"):
        authority.certify(read_request(signing_request("m-1")), "m-2", timedelta(days=1), NOW)
    nobody = authority.certify(read_request(signing_request("m-2")), "m-2", timedelta(days=10**5), NOW)
    assert nobody.not_after <= authority.not_after, "no certificate outlives its authority"
