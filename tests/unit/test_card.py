"""What a memory card tells a meter: read strictly, judged whole, in an installer's words, and no secret repeated."""

import contextlib
import textwrap

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.provisioning import taking_up
from device_catalog.contract.card import Card, Ethernet, Lte, Method, NetworkSettings, Page, WiFi, host_name
from device_catalog.contract.card_files import problems, read_card, read_network, write
from device_catalog.contract.enrolment import Token, digest
from device_catalog.contract.validation import DocumentError
from device_catalog.operator import flash

TOKEN = Token("m-0042", "s" * 43, digest(b"authorities"), "").text()
ROOTED = Token("m-0042", "s" * 43, digest(b"authorities"), digest(b"root")).text()
CARD = {"schema": "card/1", "device": "m-0042", "catalog": "https://catalog.example.org", "token": TOKEN}
WIFI = {"ssid": "Cabinet", "psk": "correct horse", "country": "DE"}


def complaints(read, **fields):
    """What is said about a file with these fields."""
    kind = {"schema": "network/1"} if read is read_network else CARD
    with pytest.raises(DocumentError) as refused:
        read(yaml.safe_dump({**kind, **fields}).encode())
    return [str(problem) for problem in refused.value.problems]


def test_a_card_says_who_a_meter_is_and_what_its_network_calls_it():
    card = read_card(yaml.safe_dump({**CARD, "label": "Main Street 7", "page": {"pin": "48151623"}}).encode())
    assert (card.device, card.tenant, card.label, card.page.pin) == ("m-0042", "default", "Main Street 7", "48151623")
    assert card.host == "tresma-m-0042"


def test_what_is_written_is_read_back_and_what_is_as_by_default_is_left_out():
    card = Card("m-0042", "https://c.example.org", TOKEN, label="Straße 7", page=Page("123456"))
    assert read_card(write(card)) == card
    assert b"tenant" not in write(card)
    network = NetworkSettings(
        Ethernet(Method.STATIC, "192.0.2.10/24", "192.0.2.1", ("192.0.2.53", "2001:db8::53")),
        WiFi(**WIFI),
        Lte("internet.example", "user", "word", "0123"),
        ("ntp.example.org",),
    )
    assert read_network(write(network)) == network
    assert read_network(write(NetworkSettings())) == NetworkSettings()


def test_everything_wrong_with_all_files_is_said_at_once():
    files = {
        "card.yaml": b"schema: card/1\ndevice: meter 42\ncatalog: catalog.example.org\ntokn: x\nleast_policy: -1\n",
        "network.yaml": b"schema: network/1\nwifi: {ssid: '', psk: short, country: Germany}\nlte: {apn: 'a b'}\n",
        "catalog-ca.pem": b"-----BEGIN PRIVATE KEY-----",
    }
    found = [str(problem) for problem in problems(files)]
    for beginning in (
        "card.yaml: tokn: expected",
        "card.yaml: device: expected letters",
        "card.yaml: catalog: expected an address such as https://",
        "card.yaml: least_policy: expected 0 or more",
        "network.yaml: wifi.ssid: expected a name of 1 to 32 bytes",
        "network.yaml: wifi.psk: expected a pass phrase of 8 to 63",
        "network.yaml: wifi.country: expected two capital letters such as DE, found Germany",
        "network.yaml: lte.apn",
        "catalog-ca.pem: expected certificates only, found a private key; take it off this card at once",
    ):
        assert sum(line.startswith(beginning) for line in found) == 1, (beginning, found)
    assert "did you mean token?" in found[0]


def test_a_number_where_a_text_belongs_is_told_how_to_be_written_without_repeating_it():
    (line,) = complaints(read_network, wifi={**WIFI, "psk": 1234567890})
    assert line == "network.yaml: wifi.psk: expected text, found something else; put it in quotes"
    (line,) = complaints(read_network, wifi={**WIFI, "country": False})  # what YAML makes of NO
    assert line == "network.yaml: wifi.country: expected text, found False; put it in quotes"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"token": "m-0042.short"}, "a token as `tresma devices enrol` prints it"),
        ({"token": TOKEN.replace("m-0042", "m-0043")}, "a token for m-0042, found one for m-0043"),
        ({"least_policy": 7}, "expected a token that names a root of trust, found one without"),
        ({"page": {"pin": "12345"}}, "6 to 12 digits"),
        ({"page": {"pin": "48151623", "interfaces": ["eth0; rm -rf /"]}}, "an interface such as eth0"),
        ({"catalog": "https://user:word@example.org"}, "an address such as"),
        ({"label": "two\nlines"}, "one line"),
        ({"host_name": "-x"}, "small letters"),
        ({"schema": "card/2"}, "expected card/1, found card/2"),
    ],
)
def test_what_a_card_may_not_say(fields, said):
    (line,) = complaints(read_card, **fields)
    assert said in line
    assert "s" * 43 not in line


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ethernet": None}, "ethernet, wifi or lte, found none of them"),
        ({"ethernet": {"method": "static"}}, "an address with the length of its network"),
        ({"ethernet": {"method": "static", "address": "192.0.2.10"}}, "an address with the length"),
        ({"ethernet": {"method": "static", "address": "192.0.2.255/24"}}, "an address with the length"),
        ({"ethernet": {"method": "static", "address": "192.0.2.9/24", "gateway": "192.0.3.1"}}, "in 192.0.2.0/24"),
        ({"ethernet": {"address": "192.0.2.9/24"}}, "write `method: static` as well"),
        ({"ethernet": {"dns": ["ns.example.org"]}}, "an address such as 192.0.2.53"),
        ({"ethernet": {"method": "auto"}}, "dhcp or static"),
        ({"wifi": {**WIFI, "ssid": "x" * 33}}, "a name of 1 to 32 bytes"),
        ({"lte": {"apn": "web", "pin": "12"}}, "4 to 8 digits"),
        ({"lte": {"apn": "web", "user": 'a",number="1'}}, "at most 64 letters"),
        ({"time_servers": ["ntp example"]}, "a name such as ntp.example.org"),
    ],
)
def test_what_a_network_file_may_not_say(fields, said):
    (line,) = complaints(read_network, **fields)
    assert said in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "found an empty file"),
        (b"- a\n- b\n", "found something else"),
        (b"schema: card/1\n\tdevice: m-1\n", "line 2: expected lines"),
        (b"schema: card/1\ndevice: m-1\ndevice: m-2\n", "each name once, found device twice"),
        (b"a: &a [x, x]\nb: [*a, *a]\n", "expected lines"),
        ("device: m-1".encode("utf-16"), "save it as UTF-8"),
        (b"#" * 70_000, "at most 65536 bytes"),
        (b"!!python/object/apply:os.system ['true']", "expected lines"),
    ],
)
def test_what_is_no_file_of_a_card_is_refused_in_one_sentence(content, said):
    with pytest.raises(DocumentError) as refused:
        read_card(content)
    assert said in str(refused.value)
    assert len(refused.value.problems) == 1


def test_a_file_saved_by_a_windows_editor_is_read():
    content = "\ufeff" + yaml.safe_dump(CARD).replace("\n", "\r\n")
    assert read_card(content.encode()).device == "m-0042"


def test_a_card_that_is_to_let_a_meter_in_needs_a_token():
    files = {"card.yaml": write(Card("m-1", "https://c"))}
    assert problems(files) == []
    (problem,) = problems(files, with_token=True)
    assert "tresma devices enrol" in str(problem)


@settings(max_examples=40)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_content_is_anything_but_read_or_refused(content):
    for read in (read_card, read_network):
        with contextlib.suppress(DocumentError):
            read(content)


@settings(max_examples=40)
@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_every_device_has_a_host_name_that_a_network_takes(device):
    name = host_name(device)
    assert len(name) <= 63
    assert name[0].isalnum()
    assert name[-1].isalnum()
    assert read_card(write(Card(device, "https://c", host_name=name))).host == name


def _block(text, first):
    """Cut a document out of a text: from its first line to the next empty one."""
    return textwrap.dedent(f"  {first}" + text.partition(f"  {first}")[2].partition("\n\n")[0]).encode()


def test_what_help_shows_of_a_card_is_what_a_meter_reads():
    card = _block(flash._EXAMPLES, "schema: card/1").replace(b"token: ...", b"token: " + ROOTED.encode())
    read = read_card(card)
    assert (read.device, read.page.interfaces, read.least_policy) == ("m-0042", ("eth0",), 3)
    assert read.host == "tresma-m-0042"
    assert read_network(_block(flash._EXAMPLES, "schema: network/1")).time_servers == ("ntp.example.org",)


def test_what_stays_on_a_card_shows_how_the_network_is_changed():
    words = taking_up._README.format(device="m-0042")
    network = read_network(f"schema: network/1{words.partition('schema: network/1')[2]}".encode())
    assert network.wifi is not None
    assert network.lte is not None
    assert network.ethernet.address == "192.0.2.10/24"
    assert "m-0042" in words
    assert "token" not in words
