"""A modem is joined step by step, its addresses are networkd's, and no SIM card is ever blocked by a meter."""

import pytest

from agent.console.modem_command import Keeper
from agent.notify import ServiceManager
from agent.provisioning import diagnosis, modem
from agent.provisioning.diagnosis import Wanted
from agent.provisioning.modem import NETWORK_FILE, Link, ModemError, file_of, step
from device_catalog.contract.card import Lte, NetworkSettings

LTE = Lte("web.example", "me", "word", "1234")
STATIC = {
    "method": "static", "address": "10.20.30.41", "prefix": "30", "gateway": "10.20.30.42",
    "dns": ["192.0.2.53", "--"], "mtu": "1430",
}  # fmt: skip


class ModemManager:
    """What mmcli answers of one modem, as its manual describes it (ModemManager 1.20)."""

    def __init__(self, state="registered", **generic):
        self.generic = {"state": state, "unlock-required": "--", "unlock-retries": [], "bearers": [], **generic}
        self.generic["sim"] = "/org/freedesktop/ModemManager1/SIM/0"
        self.modems = ["/org/freedesktop/ModemManager1/Modem/0"]
        self.addresses, self.pin, self.registration = STATIC, "1234", "home"
        self.asked = []

    def __call__(self, *words):
        self.asked.append(words)
        if words[0] == "--list-modems":
            return {"modem-list": self.modems}
        if words[0] == "--bearer":
            status = {"connected": "yes", "interface": "wwan0"}
            return {"bearer": {"status": status, "ipv4-config": self.addresses}}
        if words[0] == "--sim":
            return self._unlock(words[2].removeprefix("--pin="))
        if len(words) > 2:
            assert words[2] == "--simple-connect=apn=web.example,allow-roaming=no,user=me,password=word"
            self.generic |= {"state": "connected", "bearers": ["/org/freedesktop/ModemManager1/Bearer/0"]}
            return {}
        return {"modem": {"generic": dict(self.generic), "3gpp": {"registration-state": self.registration}}}

    def _unlock(self, pin):
        if pin != self.pin:
            self.generic["unlock-retries"] = ["sim-pin (2)", "sim-puk (10)"]
            raise ModemError("couldn't send PIN code to the SIM: IncorrectPassword")
        self.generic |= {"state": "registered", "unlock-required": "sim-pin2"}
        return {}

    def pins_sent(self):
        return [words for words in self.asked if words[0] == "--sim"]


def locked(**more):
    return ModemManager("locked", **{"unlock-required": "sim-pin", "unlock-retries": ["sim-pin (3)"], **more})


def test_a_locked_modem_is_unlocked_joined_and_gives_its_addresses():
    link = step(LTE, locked())
    assert link == Link("wwan0", "static", "10.20.30.41/30", "10.20.30.42", ("192.0.2.53",), "1430")
    lines = file_of(link).content.splitlines()
    for line in ("Name=wwan0", "Address=10.20.30.41/30", "Gateway=10.20.30.42", "DNS=192.0.2.53", "MTUBytes=1430"):
        assert line in lines
    assert "DHCP=ipv4" in file_of(Link("wwan0", "dhcp")).content
    assert "Destination=0.0.0.0/0" in file_of(Link("wwan0", "static", "10.0.0.1/32")).content


def test_a_wrong_pin_is_sent_once_and_never_again_whatever_restarts():
    manager = locked()
    manager.pin = "9999"
    assert "IncorrectPassword" in step(LTE, manager).problem
    for _ in range(5):
        trouble = step(LTE, manager)
        assert trouble.problem.startswith("the SIM card's PIN in network.yaml is wrong: 2 tries are left")
        assert trouble.needs_somebody
    assert len(manager.pins_sent()) == 1
    silent = locked(**{"unlock-retries": []})
    assert "does not say how many tries are left" in step(LTE, silent).problem
    assert silent.pins_sent() == []


@pytest.mark.parametrize(
    ("manager", "said"),
    [
        (locked(**{"unlock-required": "sim-puk"}), "the SIM card is blocked (sim-puk)"),
        (ModemManager("failed", **{"state-failed-reason": "sim-missing"}), "there is no SIM card in the modem"),
        (ModemManager("failed", **{"state-failed-reason": "unknown"}), "the modem does not work: unknown"),
        (ModemManager("connected"), "gave no connection"),
    ],
)
def test_what_is_wrong_with_a_modem_is_one_sentence(manager, said):
    assert said in step(LTE, manager).problem


def test_what_a_provider_refuses_and_what_nobody_speaks_is_told():
    manager = ModemManager()
    manager.registration = "denied"
    assert "refuses this SIM card" in step(LTE, manager).problem
    manager = ModemManager()
    manager.addresses = {"method": "ppp"}
    assert "wants ppp" in step(LTE, manager).problem
    manager.modems = []
    assert step(LTE, manager).problem == "no modem is found"
    assert "asks for a PIN" in step(Lte("web.example"), locked()).problem
    assert "not understood" in step(LTE, lambda *_words: {"modem-list": ["x"]}).problem


def test_a_modem_is_kept_joined_and_what_is_wrong_is_known_to_whoever_looks_for_it(tmp_path):
    manager, reloads = ModemManager(), []
    manager.modems = []
    keeper = Keeper(LTE, tmp_path, ServiceManager({}), manager, lambda: reloads.append(True))
    waits = [keeper.once() for _ in range(8)]
    assert waits[:3] == [10, 20, 40]
    assert max(waits) == 300
    (tmp_path / "sys/class/net/wwan0").mkdir(parents=True)
    network = NetworkSettings(None, lte=LTE)
    trouble = diagnosis.look(Wanted("https://c.example.org"), network, tmp_path)
    assert (trouble.problem, trouble.remedy) == ("no modem is found", "plug it in; it takes half a minute to start")

    manager.modems = ["/org/freedesktop/ModemManager1/Modem/0"]
    assert keeper.once() == 30
    assert "Name=wwan0" in (tmp_path / NETWORK_FILE).read_text()
    assert keeper.once() == 30
    assert reloads == [True], "what has not changed is not read again"
    manager.generic["state"] = "registered"
    assert keeper.once() == 30


def test_an_order_with_a_pin_in_its_words_lives_no_longer_than_a_sim_card_needs(tmp_path, monkeypatch):
    program = tmp_path / "mmcli"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert modem.PIN_PATIENCE <= 30
    monkeypatch.setattr(modem, "PIN_PATIENCE", 0.2)
    with pytest.raises(ModemError, match=r"no answer within 0\.2 s") as late:
        modem.mmcli("--sim", "0", "--pin=4711")
    assert "4711" not in str(late.value)
