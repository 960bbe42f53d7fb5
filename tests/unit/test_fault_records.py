"""What the catalog makes of what is said of faults, and how it is told: pure parts, and the store over SQLite."""

import asyncio
from xml.etree import ElementTree as ET

import msgspec
import pytest

from algorithms.api.network_document import NetworkDocument
from algorithms.api.records import Event, Severity
from algorithms.api.switching import case_name
from algorithms.api.wire import NANOSECONDS, Header, encode
from device_catalog.contract import topics
from device_catalog.contract.faults import FaultChange, FaultDetail, parse_change
from device_catalog.contract.validation import DocumentError
from device_catalog.errors import FaultUnknown, Refused, RevisionOutdated
from device_catalog.grid import faults as faults_module
from device_catalog.grid.faults import MAXIMUM_NEWS, Faults, devices_of, read_news
from device_catalog.network_diagram.canvas import Text, text_width
from device_catalog.network_diagram.svg import as_svg
from device_catalog.operator.fault_repair import handlers_of, locked_for
from device_catalog.operator.fault_story import lines_of, picture, timeline
from device_catalog.storage.database import migrate, open_engine
from device_catalog.storage.faults import FaultStore
from device_catalog.storage.networks import NetworkStore
from device_catalog.storage.threads import StorageThreads
from tests.support.networks import feeder_document

START = 1_800_000_000 * NANOSECONDS
NETWORK = "net-1"
PLACE = {
    "network": NETWORK, "model_revision": 3, "branch": "b1", "from_node": "m1", "to_node": "m2",
    "distance": 140.0, "distance_uncertainty": 3.0, "fault_resistance": 2.0, "type": "LG", "trusted": True,
    "alternatives": [], "doubts": [], "meters": ["m-2"], "suspects": [], "missing": {"m-3": "no answer"},
}  # fmt: skip
OUTCOME = {
    "network": NETWORK, "outcome": "restored", "reason": "", "restored_customers": 12, "unserved_customers": 1,
    "unserved": {"m2": "in the section that is faulted"}, "failed": {},
    "steps": [{"switch": "cb", "verb": "open", "time": "2027-01-15T08:00:04.500000000Z"}],
}  # fmt: skip


class NoRecordings:
    """Recordings of a fleet that records nothing."""

    async def around(self, devices, first_ns, last_ns):  # noqa: ARG002 - as asked for
        return ()


@pytest.fixture
def run(tmp_path):
    """Run what uses faults of a catalog that knows one network; give it these and their store."""
    engine = open_engine(f"sqlite:///{tmp_path}/catalog.db")
    migrate(engine)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql(
            "INSERT INTO networks (network, name, revision, topology_revision, stored_ns, author) "
            f"VALUES ('{NETWORK}', 'n', 3, 0, 0, 'somebody'), ('net-2', 'n', 1, 0, 0, 'somebody')"
        )
    threads = StorageThreads()
    store = FaultStore(engine)
    assert NetworkStore(engine).find(NETWORK) is not None

    def run(use):
        return asyncio.run(use(Faults(store, NoRecordings(), threads)))

    yield run
    threads.close()
    engine.dispose()


def message(kind, start_ns, number, evidence, *, end_ns=None, device="m-head", terminal="head"):
    event = Event(kind, terminal, start_ns, end_ns, Severity.CRITICAL, ("A",), evidence)
    network = evidence["network"]
    payload = encode(event, Header(device, 1, 1, number, start_ns + NANOSECONDS // 4))
    return topics.faults("default", network), payload


def located(start_ns=START, number=1, **changes):
    return message("fault-located", start_ns, number, {**PLACE, **changes})


def restored(number=9, **changes):
    end_ns = START + 6 * NANOSECONDS
    evidence = {**OUTCOME, **changes}
    return message("restoration", START, number, evidence, end_ns=end_ns, device="control-1", terminal="breaker")


def test_the_surest_trusted_place_and_the_last_outcome_sum_a_fault_up(run):
    async def use(faults):
        await faults.hear(*located(number=1, distance=150.0, distance_uncertainty=9.0))
        await faults.hear(*located(START + NANOSECONDS, 2))
        await faults.hear(*located(START + 2 * NANOSECONDS, 3, trusted=False, distance_uncertainty=0.1, distance=7.0))
        await faults.hear(*restored(8, outcome="no-lease"))
        await faults.hear(*restored(9))
        (summary,) = (await faults.page("", "", 10)).items
        return summary

    summary = run(use)
    assert (summary.distance, summary.distance_uncertainty, summary.trusted) == (140.0, 3.0, True)
    assert (summary.outcome, summary.revision) == ("restored", 5)
    assert summary.minutes == pytest.approx(0.1)


def test_a_fault_long_after_at_another_terminal_or_in_another_network_is_another_one(run):
    async def use(faults):
        await faults.hear(*located())
        await faults.hear(*located(START + 61 * NANOSECONDS, 2))
        await faults.hear(*message("fault-located", START, 3, PLACE, terminal="other"))
        await faults.hear(*located(number=4, network="net-2"))
        everything = await faults.page("", "", 10)
        return len(everything.items), len((await faults.page("net-2", "", 10)).items)

    assert run(use) == (4, 1)


def test_what_is_not_kept_is_refused_quietly_and_changes_nothing(run):
    topic, payload = located()
    strange = [
        (topic, b"{"),
        (topic, b"\xff" * 10),
        (topics.faults("default", "net-2"), payload),
        located(network="nowhere"),
        message("voltage-dip", START, 1, PLACE),
        restored(),
    ]

    async def use(faults):
        kept = [await faults.hear(*one) for one in strange]
        return any(kept), (await faults.page("", "", 10)).items

    assert run(use) == (False, ())


def test_of_many_words_and_many_faults_so_many_stay(run, monkeypatch):
    monkeypatch.setattr(faults_module, "MAXIMUM_KNOWN", 3)

    async def use(faults):
        for number in range(1, MAXIMUM_NEWS + 6):
            await faults.hear(*located(number=number))
        (first,) = (await faults.page("", "", 10)).items
        detail = await faults.one(first.id)
        for number in range(4):
            await faults.hear(*located(START + (number + 1) * 100 * NANOSECONDS, 100 + number))
        left = (await faults.page("", "", 10)).items
        with pytest.raises(FaultUnknown, match="none called"):
            await faults.one(first.id)
        with pytest.raises(Refused, match="cursor"):
            await faults.page("", "nonsense", 10)
        return [word.number for word in detail.news], len(left)

    numbers, left = run(use)
    assert (numbers[0], numbers[-1], len(numbers), left) == (1, MAXIMUM_NEWS + 5, MAXIMUM_NEWS, 3)


def test_recordings_are_looked_for_at_whoever_told_and_at_the_meters_that_were_asked():
    _, _, word = read_news(*located(meters=["m-2", 7, "no identifier!"]))
    assert devices_of([word]) == ["m-head", "m-2", "m-3"]


def detail_of(run):
    async def use(faults):
        await faults.hear(*located(alternatives=[{**PLACE, "branch": "b2"}]))
        await faults.hear(*restored())
        (summary,) = (await faults.page("", "", 10)).items
        return await faults.one(summary.id)

    detail = run(use)
    assert isinstance(detail, FaultDetail)
    return detail


def test_a_fault_is_told_with_place_evidence_outcome_and_everything_in_its_order(run):
    detail = detail_of(run)
    said = "\n".join(lines_of(detail))
    expected = (
        "LG A, in net-1",
        "b1, 140.0 m ± 6.0 m from m1",
        "b2, 140.0 m",
        "m-3 (no answer)",
        "restored after 0.10 min",
        "12 supplied again, 1 dark",
        "m2: in the section that is faulted",
    )
    for words in expected:
        assert words in said
    moments = timeline(detail)
    assert [moment.kind for moment in moments] == ["fault", "fault", "switch", "end"]
    assert [moment.at for moment in moments] == pytest.approx([0.0, 0.25, 4.5, 6.0])


def test_the_picture_has_the_place_its_alternatives_the_steps_and_the_timeline(run):
    document = msgspec.convert(feeder_document(), NetworkDocument)
    svg = as_svg(picture(detail_of(run), document))
    root = ET.fromstring(svg)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for text in ("140 m from m1", "or here", "1", "Timeline", "cb is open", "control-1: restored"):
        assert text in words


def test_a_person_says_that_a_fault_is_repaired_and_takes_it_back_and_all_of_it_stays(run):
    now = START + 3600 * NANOSECONDS

    async def use(faults):
        await faults.hear(*located())
        await faults.hear(*restored(cases=["fault-located-head-1"]))
        (first,) = (await faults.page("", "", 10)).items
        await faults.change(first.id, FaultChange(repaired=True, note="joint replaced"), first.revision, "anna", now)
        repaired = await faults.one(first.id)
        await faults.change(first.id, FaultChange(repaired=True), None, "bert", now + NANOSECONDS)
        again = await faults.one(first.id)
        with pytest.raises(RevisionOutdated, match="read it again"):
            await faults.change(first.id, FaultChange(repaired=False), first.revision, "bert", now)
        await faults.change(first.id, FaultChange(repaired=False), None, "bert", now + 2 * NANOSECONDS)
        with pytest.raises(FaultUnknown):
            await faults.change("none", FaultChange(repaired=True), None, "anna", now)
        return first, repaired, again, await faults.one(first.id)

    first, repaired, again, taken_back = run(use)
    assert (first.repaired, first.repaired_by) == ("", "")
    assert (repaired.summary.repaired[:16], repaired.summary.repaired_by) == ("2027-01-15T09:00", "anna")
    assert again == repaired  # who said it first stays
    assert (taken_back.summary.repaired, taken_back.summary.repaired_by) == ("", "")
    assert [(word.kind, word.device) for word in taken_back.news[2:]] == [
        ("repaired", "anna"),
        ("not-repaired", "bert"),
    ]
    assert (taken_back.summary.distance, taken_back.summary.outcome) == (140.0, "restored")
    assert devices_of(taken_back.news) == ["m-head", "m-2", "m-3", "control-1"]
    said = "\n".join(lines_of(repaired))
    assert "repaired      2027-01-15T09:00:00Z by anna" in said
    assert "60.0 min  anna: repaired (joint replaced)" in said
    canvas = picture(repaired, msgspec.convert(feeder_document(), NetworkDocument))
    texts = [one for one in canvas.shapes() if isinstance(one, Text)]
    caption = next(one for one in texts if "repaired 2027-01-15 09:00 by anna" in one.text)
    assert caption.at[0] + text_width(caption.text, caption.size) < canvas.width
    assert "nobody has said so" in "\n".join(lines_of(taken_back))


def test_who_handled_a_fault_is_told_and_what_it_locked_is_named(run):
    steps = [{"switch": "s1", "verb": "open"}, {"switch": "s2", "verb": "open"}, {"switch": "s2", "verb": "close"}]

    async def use(faults):
        await faults.hear(*located())
        await faults.hear(*restored(cases=["case-1", "case-1", 7, "case-2"], steps=steps))
        (summary,) = (await faults.page("", "", 10)).items
        return await faults.one(summary.id)

    detail = run(use)
    assert handlers_of(detail) == [("control-1", "case-1"), ("control-1", "case-2")]
    assert locked_for(detail) == ["s1"]


def test_the_end_of_one_fault_is_kept_with_that_one_alone_and_its_repair_told_of_it_alone(run):
    one, other = (case_name("fault-located", name, START) for name in ("head", "other"))
    again = case_name("fault-located", "head", START + NANOSECONDS)
    steps = [{"switch": "s1", "verb": "open", "cases": [one]}, {"switch": "s2", "verb": "open", "cases": [other]}]

    async def use(faults):
        await faults.hear(*located(START + NANOSECONDS))
        await faults.hear(*message("fault-located", START, 1, PLACE, terminal="other", device="m-other"))
        await faults.hear(*message("fault-located", START, 1, PLACE, terminal="third", device="m-third"))
        await faults.hear(*restored(8, cases=[one, other], also={again: one}, steps=steps))
        await faults.hear(*restored(9, cases=[other], steps=steps[1:], outcome="isolated"))
        found = (await faults.page("", "", 10)).items
        return {item.terminal: await faults.one(item.id) for item in found}

    found = run(use)
    assert {name: detail.summary.outcome for name, detail in found.items()} == {
        "head": "restored",
        "other": "isolated",
        "third": "",
    }
    assert handlers_of(found["head"]) == [("control-1", one)]
    assert handlers_of(found["other"]) == [("control-1", other)]
    assert (locked_for(found["head"]), locked_for(found["other"])) == (["s1"], ["s2"])


@pytest.mark.parametrize(
    "document", [b"{", b"{}", b'{"repaired": 1}', b'{"repaired": true, "x": 1}', b'{"repaired": true, "note": "a\\nb"}']
)
def test_what_is_no_word_on_a_repair_is_refused(document):
    with pytest.raises(DocumentError):
        parse_change(document)
    assert parse_change(b'{"repaired": true}') == FaultChange(repaired=True)
