"""Certificates are given once a token and renewed when it is time: with a clock moved by hand."""

import asyncio
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from device_catalog.access.certificates import Certificates
from device_catalog.access.enrolments import Enrolments
from device_catalog.authority.authority import Authority
from device_catalog.contract.documents import Configuration
from device_catalog.contract.enrolment import EnrolmentRequest
from device_catalog.contract.register import DeviceKind
from device_catalog.errors import RenewedTooEarly
from device_catalog.fleet.domain import Guard
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.register import Register
from device_catalog.storage.access import AccessStore, CertificateRow, EnrolmentRow
from device_catalog.storage.database import migrate, open_engine
from device_catalog.storage.rows import Change, KeyedRequest
from device_catalog.storage.store import Store
from device_catalog.storage.threads import StorageThreads
from tests.support.enrolment import new_key, signing_request

DAY = 86_400
LIFE = 300
"""Of a certificate [d]."""
BEGIN = 1_800_000_000


class Clock:
    def __init__(self):
        self.days = 0.0

    def wall(self):
        return round((BEGIN + self.days * DAY) * 1e9)

    def monotonic(self):
        return self.days * DAY


class Quiet:
    """An announcer that says nothing."""

    def availability(self, tenant, availability, *, urgent):
        """Nothing."""

    def notify(self, tenant, device, revision):
        """Nothing."""

    def state(self, tenants, state, time_ns):
        """Nothing."""


class Catalog:
    """What gives certificates, over a database of its own; `certificates` are those in force."""

    def __init__(self, folder):
        self.clock = Clock()
        self.engine = open_engine(f"sqlite:///{folder / 'catalog.db'}")
        migrate(self.engine)
        store = Store(self.engine)
        change = Change("m-1", 1, Configuration(), self.clock.wall(), "anna")
        store.register(change, "default", DeviceKind.METER, "", b"digest", KeyedRequest("", b""))
        fleet = Fleet(Quiet(), Guard(), self.clock.monotonic, self.clock.wall)
        fleet.load(store.load(), ["default"])
        self.threads = StorageThreads()
        self.access = AccessStore(self.engine)
        self.certificates = Certificates()
        self.authority = Authority.open(folder / "authority")
        self.signed = 0
        sign = self.authority.revocations

        def counted(void, now):
            self.signed += 1
            return sign(void, now)

        self.authority.revocations = counted
        self.enrolments = Enrolments(
            Register(fleet, store, self.threads),
            self.access,
            self.certificates,
            self.authority,
            life=timedelta(days=LIFE),
            roots=folder,
            changed=lambda: None,
        )

    def close(self):
        self.threads.close()
        self.engine.dispose()

    def run(self, call):
        return asyncio.run(call)

    def enrolled(self, key):
        given = self.run(self.enrolments.invite("m-1", 3600, "anna"))
        request = EnrolmentRequest("m-1", given.secret, signing_request("m-1", key))
        return fingerprint(self.run(self.enrolments.enrol(request)))

    def renewed(self, shown, key):
        return fingerprint(self.run(self.enrolments.renew("m-1", signing_request("m-1", key), shown)))

    def is_let_in(self, shown):
        return self.certificates.holder(shown, self.clock.wall()) == "m-1"


def fingerprint(issued):
    return x509.load_pem_x509_certificates(issued.certificate.encode())[0].fingerprint(SHA256())


@pytest.fixture
def catalog(tmp_path):
    catalog = Catalog(tmp_path)
    yield catalog
    catalog.close()


def test_a_certificate_is_not_renewed_before_half_of_its_life_is_over(catalog):
    first = catalog.enrolled(new_key())
    catalog.clock.days = LIFE / 2 - 1
    with pytest.raises(RenewedTooEarly, match=r"half of its life .* is over, found") as refused:
        catalog.renewed(first, new_key())
    assert 0 < refused.value.retry_after <= DAY + 3600
    catalog.clock.days = LIFE / 2 + 1
    second = catalog.renewed(first, new_key())
    assert catalog.is_let_in(first)
    assert catalog.is_let_in(second)


def test_an_answer_that_was_lost_is_given_again_to_the_same_key_at_once(catalog):
    first, key = catalog.enrolled(new_key()), new_key()
    catalog.clock.days = 0.7 * LIFE
    second = catalog.renewed(first, key)
    catalog.clock.days += 0.001
    assert catalog.renewed(first, key) == second
    assert catalog.renewed(second, key) == second


def test_a_card_that_loses_each_new_key_goes_on_with_what_it_shows_and_is_slowed_down(catalog):
    first = catalog.enrolled(new_key())
    catalog.clock.days = 0.7 * LIFE
    made = [catalog.renewed(first, new_key())]
    with pytest.raises(RenewedTooEarly, match="one renewal in") as refused:
        catalog.renewed(first, new_key())
    assert 0 < refused.value.retry_after <= 3 * DAY + 60
    for _ in range(5):
        catalog.clock.days += 3.1
        made.append(catalog.renewed(first, new_key()))
        assert catalog.is_let_in(first), "the only one that is surely on the card"
    assert [catalog.is_let_in(one) for one in made] == [False] * 4 + [True] * 2


def test_a_token_lets_in_one_key_though_two_catalogs_read_it_unused(catalog):
    secret = b"s" * 32
    catalog.access.write_enrolment(EnrolmentRow(secret, "m-1", catalog.clock.wall(), catalog.clock.wall() + 10**12, ""))
    read = [catalog.access.enrolment(secret) for _ in range(2)]
    rows = [certificate(b"a"), certificate(b"b")]
    assert catalog.access.enrol(read[0], rows[0], catalog.clock.wall())
    assert not catalog.access.enrol(read[1], rows[1], catalog.clock.wall())
    in_force = [row[0] for row in catalog.access.certificates_in_force(catalog.clock.wall())]
    assert in_force == [rows[0].fingerprint], "the second changed nothing"


def certificate(mark):
    return CertificateRow(mark * 32, "m-1", "ab", mark * 32, "", 0, 2**62)


def test_the_list_of_what_is_void_is_signed_when_something_became_void_and_when_it_is_old(catalog):
    void = catalog.enrolments.revocations
    catalog.enrolled(new_key())
    first = void()
    assert [void() for _ in range(3)] == [first] * 3
    assert catalog.signed == 1
    catalog.run(catalog.enrolments.revoke("m-1", "stolen"))
    second = void()
    assert second != first
    assert len(list(x509.load_pem_x509_crl(second))) == 1
    assert void() == second
    catalog.clock.days += 1.01
    assert void() != second
    assert catalog.signed == 3
