"""A card becomes a meter: taken up once, safe at every step, wiped of what is secret, told what is wrong with it."""

import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from agent.commissioning.wiring import Verdict
from agent.config import read_config
from agent.console.check_command import provisioned
from agent.console.provision_command import Provisioning
from agent.identity.__main__ import Outcome
from agent.identity.files import Facts, Identity, token_digest
from agent.notify import ServiceManager
from agent.provisioning import card_folder, enrolling, places, status, taking_up
from agent.provisioning.card_folder import CardFolder
from agent.provisioning.enrolling import Enrolling
from agent.provisioning.places import Places
from agent.provisioning.status import NETWORK, Trouble
from agent.provisioning.taking_up import take_up
from device_catalog.contract.card import Card, NetworkSettings, Page, WiFi, without_token
from device_catalog.contract.card_files import read_card, write
from device_catalog.contract.enrolment import Token, digest

TOKEN = Token("m-0042", "s" * 43, digest(b"authorities"), "").text()
NEWER = Token("m-0042", "t" * 43, digest(b"authorities"), "").text()
CARD = Card("m-0042", "https://catalog.example.org", TOKEN, label="Main Street 7", page=Page("48151623"))
WLAN = NetworkSettings(wifi=WiFi("Cabinet", "correct horse", "DE"))
CA = b"-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
SECRETS = (b"s" * 43, b"correct horse")


class Meter:
    """A meter's disk in a folder, and a card's folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder / "root")
        self.folder = folder / "card/tresma"
        self.folder.mkdir(parents=True)
        self.named: list[str] = []

    def insert(self, **files: bytes) -> None:
        for name, content in files.items():
            (self.folder / name.replace("_", "-").replace("-yaml", ".yaml").replace("-pem", ".pem")).write_bytes(
                content
            )

    def take_up(self):
        return take_up(self.places, CardFolder(self.folder), self.named.append)

    def read(self, place: str) -> str:
        return (self.places.root / place).read_text()

    def secrets_on_card(self) -> list[bytes]:
        content = b"".join(file.read_bytes() for file in self.folder.iterdir())
        return [secret for secret in SECRETS if secret in content]

    def enrolled_with(self, token: str) -> None:
        identity = Identity(self.places.state)
        identity.folder.mkdir(parents=True, exist_ok=True)
        facts = Facts("m-0042", 0.0, 4e9, 3e9, token_digest(token))
        identity.path.write_bytes(b"tresma identity " + json.dumps(to_plain(facts)).encode() + b"\n")


def to_plain(facts):
    return {name: getattr(facts, name) for name in facts.__struct_fields__}


@pytest.fixture
def meter(tmp_path):
    return Meter(tmp_path)


def test_what_the_card_says_is_kept_and_nothing_secret_stays_on_it(meter):
    meter.insert(card_yaml=write(CARD), network_yaml=write(WLAN), catalog_ca_pem=CA)
    taken = meter.take_up()
    assert taken.card == CARD
    assert taken.problems == []
    assert [file.name for file in meter.folder.iterdir()] == ["README.txt"]
    assert meter.secrets_on_card() == []
    assert read_card(meter.places.card.read_bytes()) == CARD
    for file in (meter.places.card, meter.places.network, meter.places.commissioning):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert yaml.safe_load(meter.places.commissioning.read_bytes()) == {
        "pin": "48151623", "name": "tresma-m-0042", "port": 80,
    }  # fmt: skip
    assert meter.read("etc/hostname") == "tresma-m-0042\n"
    assert meter.places.authorities.read_bytes() == CA


def test_the_next_starts_change_nothing_but_make_the_volatile_files_anew(meter):
    meter.insert(card_yaml=write(CARD), network_yaml=write(WLAN))
    first = meter.take_up()
    supplicant = meter.places.root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"
    before = supplicant.read_text()
    supplicant.unlink()
    assert meter.take_up() == first
    assert supplicant.read_text() == before
    assert stat.S_IMODE(supplicant.stat().st_mode) == 0o600


class PowerCut(BaseException):
    """The power fails."""


class Power:
    """What fails before the n-th durable write, sync or removal."""

    def __init__(self) -> None:
        self.steps, self.fails_at = 0, 10**9

    def cutting(self, original):
        def step(*words, **more):
            self.steps += 1
            if self.steps == self.fails_at:
                raise PowerCut
            return original(*words, **more)

        return step


@pytest.fixture
def power(monkeypatch):
    failing = Power()
    for module in (taking_up, card_folder, places):
        monkeypatch.setattr(module, "write_durably", failing.cutting(module.write_durably))
    monkeypatch.setattr(os, "fsync", failing.cutting(lambda _number: None))
    monkeypatch.setattr(Path, "unlink", failing.cutting(Path.unlink))
    return failing


def start(meter):
    """A start of a meter whose catalog lets it in at once."""

    def ask(order):
        meter.enrolled_with(Path(order.token_file).read_text())
        return Outcome()

    card = meter.take_up().card
    assert card is not None
    assert Enrolling(meter.places, card, lambda _wanted: None, ask).once() is None


def has_token(meter):
    on_card = meter.folder / "card.yaml"
    return (
        (meter.places.card.exists() and TOKEN in meter.places.card.read_text())
        or (on_card.exists() and b"\0" not in on_card.read_bytes())
        or Identity(meter.places.state).facts() is not None
    )


def test_whenever_the_power_fails_the_next_start_ends_where_an_undisturbed_one_does(tmp_path, power):
    """In between, the token is always somewhere; at the end, it is nowhere on the card."""
    wanted = None
    for fails_at in (10**9, *range(1, 200)):
        meter = Meter(tmp_path / f"{fails_at}")
        meter.insert(card_yaml=write(CARD), network_yaml=write(WLAN), catalog_ca_pem=CA)
        power.steps, power.fails_at = 0, fails_at
        try:
            start(meter)
            failed = False
        except PowerCut:
            power.fails_at = 10**9
            assert has_token(meter), fails_at
            start(meter)
            failed = True
        found = snapshot(meter.places.root, str(meter.places.root))
        wanted = wanted or found
        assert found == wanted, fails_at
        assert meter.secrets_on_card() == []
        if not failed and fails_at < 10**9:
            break
    assert 40 < fails_at < 199


def snapshot(root: Path, name: str) -> dict[str, str]:
    """All files below a root, without its name."""
    files = [file for file in sorted(root.rglob("*")) if file.is_file() and not file.name.endswith(".new")]
    return {str(file.relative_to(root)): file.read_text().replace(name, "") for file in files}


def test_a_wipe_that_was_cut_off_is_ended_by_the_next_start(meter):
    meter.insert(card_yaml=write(CARD), network_yaml=write(WLAN))
    meter.take_up()
    meter.insert(card_yaml=bytes(100) + write(CARD)[100:])
    assert meter.take_up().problems == []
    assert [file.name for file in meter.folder.iterdir()] == ["README.txt"]


def test_a_wrong_file_changes_nothing_and_stays_to_be_put_right(meter):
    meter.insert(card_yaml=write(CARD), network_yaml=write(WLAN))
    meter.take_up()
    meter.insert(network_yaml=b"schema: network/1\nwifi: {ssid: New, psk: short, country: DE}\n")
    taken = meter.take_up()
    assert [str(one) for one in taken.problems] == [
        "network.yaml: wifi.psk: expected a pass phrase of 8 to 63 characters (no umlauts), found something else"
    ]
    assert b"correct horse".hex() in meter.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
    assert (meter.folder / "network.yaml").exists()
    meter.insert(network_yaml=write(NetworkSettings()))
    assert meter.take_up().problems == []
    assert not (meter.places.root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf").exists()


def test_a_new_token_is_taken_up_and_one_that_was_used_is_not_kept_again(meter):
    meter.insert(card_yaml=write(CARD))
    meter.take_up()
    meter.enrolled_with(TOKEN)
    meter.insert(card_yaml=write(CARD))
    assert meter.take_up().card == without_token(CARD)
    meter.insert(card_yaml=write(Card("m-0042", "https://other.example.org", NEWER)))
    taken = meter.take_up()
    assert (taken.card.token, taken.card.catalog) == (NEWER, "https://other.example.org")
    assert not enrolling.is_enrolled(meter.places, taken.card)


def test_the_card_of_another_meter_is_refused_where_this_ones_data_is(meter):
    meter.insert(card_yaml=write(CARD))
    meter.take_up()
    meter.insert(card_yaml=write(Card("m-0043", "https://c.example.org", TOKEN.replace("42", "43"))))
    (problem,) = meter.take_up().problems
    assert "expected m-0042, whose data is here, found m-0043; write the card anew" in str(problem)


def test_a_card_in_another_machine_is_told_until_a_new_token_says_that_it_is_meant(meter):
    serial = meter.places.root / "sys/firmware/devicetree/base/serial-number"
    serial.parent.mkdir(parents=True)
    serial.write_bytes(b"1000000001\0")
    meter.insert(card_yaml=write(CARD))
    assert meter.take_up().warning == ""
    serial.write_bytes(b"1000000002\0")
    assert "two meters may have one identity" in meter.take_up().warning
    meter.insert(card_yaml=write(Card("m-0042", "https://c.example.org", NEWER)))
    assert meter.take_up().warning == ""
    assert meter.take_up().warning == ""


def test_a_read_only_card_is_made_writable_for_a_moment_or_told(meter, monkeypatch):
    def stuck(_folder, how):
        raise OSError(f"cannot be mounted {how}")

    meter.insert(card_yaml=write(CARD))

    class ReadOnly:
        f_flag = card_folder.os.ST_RDONLY

    monkeypatch.setattr(card_folder.os, "statvfs", lambda _path: ReadOnly)
    taken = take_up(meter.places, CardFolder(meter.folder, stuck), meter.named.append)
    assert taken.card == CARD
    assert "expected a card that secrets can be taken off, found cannot be mounted rw" in str(taken.problems[0])
    done = []
    take_up(meter.places, CardFolder(meter.folder, lambda _folder, how: done.append(how)), meter.named.append)
    assert done == ["rw", "ro"]
    assert meter.secrets_on_card() == []


# ---- the way to a certificate


def provision(meter, looks, asks, monkeypatch):
    """Run a start whose network and catalog answer as listed; return the statuses that were told, and the waits."""
    told, waits = [], []
    looks, asks = iter(looks), iter(asks)

    def ask(order):
        outcome = next(asks)
        if not outcome.problem:
            meter.enrolled_with(Path(order.token_file).read_text())
        return outcome

    monkeypatch.setattr("agent.provisioning.diagnosis.look", lambda _wanted, **_more: next(looks))
    monkeypatch.setattr(Enrolling.__init__, "__defaults__", (ask,))
    real = status.write
    monkeypatch.setattr(status, "write", lambda now, root: (told.append(now), real(now, root)))
    ended = Provisioning(meter.places, CardFolder(meter.folder), ServiceManager({}), sleep=waits.append).run()
    return ended, told, waits


def test_a_meter_goes_on_by_itself_once_what_was_wrong_is_put_right(meter, monkeypatch):
    meter.insert(card_yaml=write(CARD))
    cable = Trouble(NETWORK, "no network cable is plugged in", "plug it in")
    used = Outcome(
        "the catalog gives no certificate: expected a token that was not used yet, found one used at 9", True
    )
    ended, told, waits = provision(meter, [cable, None, None], [used, Outcome()], monkeypatch)
    assert ended == 0
    assert [(one.state, one.step, one.attempts) for one in told] == [
        ("waiting", "network", 1),
        ("failed", "token", 2),
        ("done", "enrolled", 0),
    ]
    assert told[1].problem.startswith("this card's token was used before")
    assert "another meter may have this one's identity" in told[1].remedy
    assert [0 < wait <= 2 for wait in waits] == [True, True], "another step begins anew"
    config = read_config(meter.places.config, {})
    assert (config.device, config.catalog, config.state_dir) == ("m-0042", CARD.catalog, meter.places.state)
    assert TOKEN not in meter.read("etc/tresma/card.yaml")
    assert not (meter.places.lent / "enrolment-token").exists()
    assert (told[2].device, told[2].host, told[2].label) == ("m-0042", "tresma-m-0042", "Main Street 7")


def test_waits_are_bounded_and_short_while_somebody_may_be_plugging_in_a_cable(meter):
    asking = Enrolling(meter.places, CARD, lambda _wanted: None)
    for step, longest in ((NETWORK, 15), (status.CLOCK, 15), (status.TOKEN, 300), (status.CATALOG, 300)):
        waits = [asking.pause(Trouble(step, "x"), times) for times in (1, 2, 3, 10, 10**6)]
        assert waits[0] <= 2
        assert longest / 2 <= waits[-1] <= longest


def test_a_card_that_says_nothing_is_told_and_a_wrong_one_by_its_first_problem(meter, monkeypatch):
    ended, told, _ = provision(meter, [], [], monkeypatch)
    assert ended == 0
    assert (told[0].state, told[0].step) == ("failed", "card")
    assert "does not say who this meter is" in told[0].problem
    meter.insert(card_yaml=b"schema: card/1\ndevice: meter 42\ncatalog: nowhere\n")
    _, told, _ = provision(meter, [], [], monkeypatch)
    assert told[0].problem.startswith("card.yaml: device: expected letters")
    assert len(told[0].problems) == 2
    assert status.read(meter.places.root).problems == told[0].problems
    assert stat.S_IMODE((meter.places.root / status.PATH).stat().st_mode) == 0o644


def test_lines_that_somebody_added_to_the_agents_configuration_stay(meter):
    meter.places.settings.mkdir(parents=True)
    meter.places.config.write_text("log_level: debug\ntoken_file: old\ndevice: m-1\n")
    meter.enrolled_with(TOKEN)
    enrolling.settle(meter.places, without_token(CARD))
    lines = yaml.safe_load(meter.places.config.read_bytes())
    assert lines["log_level"] == "debug"
    assert lines["device"] == "m-0042"
    assert "token_file" not in lines


@pytest.mark.parametrize(
    ("state", "problem", "verdict"),
    [
        ("done", "", Verdict.OK),
        ("done", "network.yaml: wrong", Verdict.WARNING),
        ("waiting", "no network cable is plugged in", Verdict.WARNING),
        ("failed", "this card's token was used before", Verdict.FAILED),
    ],
)
def test_the_check_tells_how_far_a_meter_is(tmp_path, state, problem, verdict):
    assert list(provisioned(tmp_path)) == []
    now = status.Status(state, "card", problem, "do this", ("card.yaml: also wrong",) if problem else (), "m-0042")
    status.write(now, tmp_path)
    first, *others = provisioned(tmp_path)
    assert (first.item, first.verdict) == ("provisioning", verdict)
    assert (first.found, first.remedy) == ((problem, "do this") if problem else ("by its card, as m-0042", ""))
    assert [one.found for one in others] == (["card.yaml: also wrong"] if problem else [])


def test_no_link_of_the_services_stands_in_the_way_of_the_status(tmp_path):
    """The folder is the service's: what it puts there must not make root write elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    folder = (tmp_path / status.PATH).parent
    folder.mkdir(parents=True)
    for name in ("provisioning.json", "provisioning.json.new"):
        (folder / name).symlink_to(victim)
    status.write(status.Status("done", "enrolled"), tmp_path)
    assert victim.read_text() == "untouched"
    assert status.read(tmp_path).state == "done"
