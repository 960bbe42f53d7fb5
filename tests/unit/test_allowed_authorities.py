"""Connections believe only authorities that the DSO's policy allows, whatever the catalog hands out."""

import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.config import AgentConfig
from agent.identity.tls import anchors_of, broker_context
from agent.trust.authorities import allowed, keep_list, stamp
from tests.support.enrolment import authority_certificate, pem


@pytest.fixture(scope="module")
def pems():
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("dso", "catalog")}
    return {name: pem(authority_certificate(name, key)).decode() for name, key in keys.items()}


def digest(text):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


def believed(path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(path)
    return {hashlib.sha256(der).hexdigest() for der in context.get_ca_certs(binary_form=True)}


def test_of_what_the_catalog_handed_out_only_what_the_policy_allows_is_believed(tmp_path, pems):
    source = tmp_path / "anchors.pem"
    source.write_text(pems["catalog"] + pems["dso"])
    assert allowed(tmp_path, str(source)) == str(source)
    keep_list(tmp_path, [digest(pems["dso"])])
    assert believed(allowed(tmp_path, str(source))) == {digest(pems["dso"])}
    before = stamp(tmp_path)
    keep_list(tmp_path, [digest(pems["dso"])])
    assert stamp(tmp_path) == before
    keep_list(tmp_path, [digest(pems["dso"]), digest(pems["catalog"])])
    assert believed(allowed(tmp_path, str(source))) == set(map(digest, pems.values()))
    keep_list(tmp_path, [])
    assert allowed(tmp_path, str(source)) == str(source)


def test_where_nothing_is_left_over_no_connection_comes_about(tmp_path, pems):
    keep_list(tmp_path, [digest(pems["dso"])])
    source = tmp_path / "anchors.pem"
    source.write_text(pems["catalog"])
    config = AgentConfig("m-1", "https://catalog", "x", tmp_path, ca=str(source))
    for one in (config, AgentConfig("m-1", "https://catalog", "x", tmp_path)):
        with pytest.raises(OSError, match=r"no certificate|PEM|NO_CERTIFICATE"):
            broker_context(one)


def test_a_damaged_list_allows_nothing(tmp_path, pems):
    keep_list(tmp_path, [digest(pems["dso"])])
    (tmp_path / "trust" / "authorities").write_bytes(b"[\x00")
    source = tmp_path / "anchors.pem"
    source.write_text(pems["dso"])
    assert Path(anchors_of(AgentConfig("m-1", "https://c", "x", tmp_path, ca=str(source)))).read_text() == ""
