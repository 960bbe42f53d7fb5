"""A catalog signs what devices should do, anew when half of a signature's time is over, and not for all at once."""

import itertools

import pytest

from device_catalog.config import ConfigError
from device_catalog.contract.signatures import read_signatures
from device_catalog.fleet.director import Director, read_director
from device_catalog.fleet.domain import Guard
from device_catalog.fleet.entity_tags import LOOK
from device_catalog.fleet.fleet import NANOSECONDS, Fleet
from device_catalog.storage.rows import DeviceRow
from tests.support.policies import Key

NOW = 1_800_000_000 * NANOSECONDS
DAY = 86_400


class Silence:
    """Tells nobody."""

    def __getattr__(self, _name):
        return lambda *_, **__: None


class Bench:
    """A register with one device, and clocks that are moved."""

    def __init__(self, life=14 * DAY, key=1):
        self.time, self.wall = 1000.0, NOW
        self.director = Director(Key(key).private, life)
        self.fleet = Fleet(Silence(), Guard(), lambda: self.time, lambda: self.wall, signer=self.director)
        self.device = self.fleet.hold(DeviceRow("m-1", "default", "meter", 7, 60.0, 195.0, None, 7, 1, True, bytes(32)))

    def pass_time(self, seconds):
        self.time += seconds
        self.wall += round(seconds * NANOSECONDS)

    def poll(self):
        self.fleet.heard(self.device, 1, 7, b"")
        return self.device.tag


def test_a_document_gets_another_tag_when_half_of_its_time_is_over():
    bench = Bench()
    first = bench.poll()
    period = bench.director.period("m-1", NOW)
    assert period.begins_ns <= NOW < period.ends_ns
    assert period.expires_ns - period.begins_ns == 14 * DAY * NANOSECONDS
    bench.pass_time((period.ends_ns - NOW) / NANOSECONDS - 1)
    assert bench.poll() == first
    bench.pass_time(LOOK)
    assert bench.poll() != first


def test_every_process_with_the_key_writes_the_same_tag_and_another_key_another():
    assert Bench().poll() == Bench().poll()
    assert Bench(key=2).poll() != Bench().poll()


def test_a_clock_that_is_set_is_noticed_within_the_hour():
    bench = Bench()
    first = bench.poll()
    bench.wall += 400 * DAY * NANOSECONDS
    bench.pass_time(LOOK)
    assert bench.poll() != first


def test_a_fleet_is_signed_anew_spread_over_the_whole_period():
    director = Director(Key(1).private, 2.0 * DAY)
    begins = sorted((director.period(f"m-{number}", NOW).begins_ns - NOW) / NANOSECONDS for number in range(1000))
    steps = [later - earlier for earlier, later in itertools.pairwise(begins)]
    assert begins[-1] - begins[0] > 0.95 * DAY
    assert max(steps) < 0.02 * DAY


def test_the_key_is_made_once_for_its_owner_alone(tmp_path):
    file = tmp_path / "state" / "director.key"
    made = read_director(file, DAY)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["director.key"]
    again = read_director(file, DAY)
    assert again.public == made.public
    assert again.signature(b"x") == made.signature(b"x")
    ((_, signature),) = read_signatures(made.signature(b"x"))
    assert len(signature) == 64


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused_and_never_replaced(tmp_path, content):
    file = tmp_path / "director.key"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="director_key_file: expected"):
        read_director(file, DAY)
    assert file.read_bytes() == content
