"""Secrets do not get into the log, whoever says them; what a person needs to read stays."""

import logging

import pytest

from agent.bootstrap import _Formatter
from agent.support.kept_log import NAMES, PER_HOUR, KeptLog, LogFile
from agent.support.scrubbing import Scrubber

TOKEN = "vZ3r-9kQ_7LmXc2PqT0aYwB5sDfGhJ1NnE4uRiO6tVx"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/gLR1J0X0kH5\n-----END PRIVATE KEY-----"

SECRET = {
    f"401 for Authorization: Bearer {TOKEN}": [TOKEN],
    "Authorization: Basic bS0wMDQyOmh1bnRlcjI=": ["bS0wMDQy"],
    "lost mqtts://meter:hunter2@broker.example.org:8883": ["hunter2", "meter:"],
    "lost https://user:p/a@ss:word@catalog.example.org/v1": ["word@", "p/a"],
    "password = 'two words', host=x": ["two words"],
    'said {"token": "abcDEF123", "device": "m-1"}': ["abcDEF123"],
    "wifi psk=correcthorse country=DE": ["correcthorse"],
    "modem pin: 4711": ["4711"],
    "client_secret: s3cr3t; api-key=K3Y": ["s3cr3t", "K3Y"],
    f"found {TOKEN} there": [TOKEN],
    f"broken: {PEM} (end)": ["MC4CAQ", "gLR1J0X"],
    "half of one -----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIG": ["MHcCAQ"],
    "a line MHcCAQEEIGk9Zq0xv3Yt5Wj2Kq8rN1bL6mP4sD7f+Aa/Bb9Cc1Dd2Ee= of a key": ["MHcCAQEEIGk9"],
    "key 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60": ["ba844af492ec2cc4"],
    "the credential is swordfish": ["swordfish"],
    r"answered {\"password\": \"hunter2 behind\", \"device\": \"m-1\"}": ["hunter2", "behind"],
    r'kept "{\\\"psk\\\": \\\"correct \\\\\\\"horse\\\\\\\"\\\"}"': ["correct", "horse"],
    r"{\'pin\': \'4711\'}": ["4711"],
    'cut off here: {"secret": "two words and then': ["two", "words", "then"],
    "ran mosquitto_sub --username me --password hunter2 -t x": ["hunter2"],
    "ran ['x', '--password', 'hunter2', '--pin', '4711']": ["hunter2", "4711"],
    "mmcli --sim 0 --pin=4711 and --puk 12345678": ["4711", "12345678"],
    "lost meter:hunter2@broker.example.org:8883": ["hunter2"],
    "proxy admin:p%40ss/word@192.0.2.1:3128 answers": ["p%40ss", "word@"],
    'to the modem: AT+CPIN="4711"': ["4711"],
    'to the modem: at+cpin = 12345678, "0815"': ["12345678", "0815"],
    'to the modem: AT+CLCK="SC",1,"4711"': ["4711"],
}

PLAIN = [
    "revision 12 is in force",
    "the catalog at https://catalog.example.org:8443 cannot be reached: Connection refused (3 in a row)",
    "v1/default/meters/m-0042/results/load-forecast of 192.0.2.17",
    "/var/lib/tresma/algorithms/voltage-band/1.2.0-rc1/__init__.py",
    "recording 20261121T072018100Z is damaged, and is thrown away",
    "credential_file: expected a readable file /etc/tresma/credential, found Permission denied",
    "lease token 5912345678 of feeder was given back",
    "command o-1: expected an id of letters, digits, _ and - (at most 64), found a b",
    "from the modem: +CPIN: SIM PIN",
    "asked of the modem: AT+CPIN?",
    "systemd: Started tresma-slots@3.service at 07:20:18, tresma-broker@grid.service: exited",
    "give --token-file /etc/tresma/token, or --pin-file -; there is no --password-x option",
    "meter 6f1c2a30-7d1e-4f0a-9b0c-1d2e3f405162 and _tie-switch-nr-17-of-the-northern-feeder",
]


@pytest.mark.parametrize("line", SECRET)
def test_a_secret_in_a_line_is_left_out(line):
    clean = Scrubber(["swordfish"]).text(line)
    assert not [word for word in SECRET[line] if word in clean]
    assert len(clean) > 10  # what stands around it is still there


@pytest.mark.parametrize("line", PLAIN)
def test_a_line_without_secrets_stays_as_it_is(line):
    assert Scrubber(["swordfish"]).text(line) == line


def test_of_a_digest_as_much_stays_as_tells_it_from_others():
    line = Scrubber().text("taken: sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    assert line == "taken: sha256 2cf24dba..."


def test_neither_the_log_nor_what_is_remembered_of_it_has_a_secret(tmp_path):
    scrubber = Scrubber(["swordfish"])
    kept, said = KeptLog(scrubber), []
    for line in SECRET:
        record = logging.LogRecord("agent", logging.WARNING, "", 0, "%s", (line,), None)
        kept.emit(record)
        said.append(_Formatter("%(message)s", scrubber).format(record))
    LogFile(tmp_path, kept).write()
    text = "\n".join([*said, *(line.text for line in kept.after(0)), (tmp_path / NAMES[0]).read_text()])
    assert not [word for words in SECRET.values() for word in words if word in text]


def test_a_secret_in_a_traceback_is_left_out(caplog):
    kept = KeptLog(Scrubber(["swordfish"]))
    log = logging.getLogger("tests.support")
    log.addHandler(kept)
    try:
        int("swordfish")
    except ValueError:
        log.exception("cannot log in")
    finally:
        log.removeHandler(kept)
    (line,) = kept.after(0)
    assert "swordfish" in caplog.text
    assert "Traceback" in line.text
    assert "swordfish" not in line.text


def test_a_long_line_costs_no_more_than_its_length():
    """Linear in what others may make long: the patterns look back at nothing."""
    units = ("pass_", "a.b-", "://x:", "token=", "-----BEGIN A", "bearer ")
    for unit in (*units, 'token=\\"', "--pin ", "--pin '", "a:b%", "AT+CPIN=", "\\", 'pin="'):
        assert len(Scrubber(["swordfish"]).text(unit * 20_000)) < 200_000


def test_what_the_card_takes_in_an_hour_is_bounded_and_what_is_left_out_is_counted(tmp_path):
    kept = KeptLog(Scrubber())
    file = LogFile(tmp_path, kept)
    for _ in range(200):
        for number in range(100):
            kept.emit(logging.LogRecord("agent", logging.INFO, "", 0, f"line {number} with some words", (), None))
        file.write()
    assert PER_HOUR / 2 < sum(path.stat().st_size for path in tmp_path.iterdir()) <= PER_HOUR


def test_a_card_that_cannot_be_written_stops_no_log(tmp_path):
    (tmp_path / "file").write_text("")
    kept = KeptLog(Scrubber())
    kept.emit(logging.LogRecord("agent", logging.INFO, "", 0, "words", (), None))
    LogFile(tmp_path / "file", kept).write()
    assert kept.last == 1
