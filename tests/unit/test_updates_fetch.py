"""What becomes of a fetch: one sentence, and whether it makes sense to try again."""

import asyncio
import hashlib
import itertools
import signal
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from agent.config import AgentConfig
from agent.errors import TrustError
from agent.trust.decisions import Reading
from agent.updates.fetch_messages import FetchAnswer, FetchQuestion
from agent.updates.fetch_process import answer
from agent.updates.fetches import Fetches, asking_process
from device_catalog.contract.documents import PackageReference
from device_catalog.contract.packages import PURE, contents, package_name, read_package
from tests.support.packages import NAME, package_of, with_record, zipped
from tests.support.ports import free_port
from tests.support.quick_loop import run_quickly
from tests.support.trust import Dso, saying, serving

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _alarm():
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def dso(tmp_path):
    one = Dso(tmp_path / "trust", NOW)
    one.release(now=NOW)
    return one


def asked(folder, dso, url, version="0.1.0", now=NOW):
    clock = Reading(now.timestamp(), synchronised=True)
    return answer(FetchQuestion(NAME, version, str(folder / "state"), dso.root, url, clock))


def test_a_package_that_is_signed_is_put_in_place(tmp_path, dso):
    with serving(dso.folder) as server:
        found = asked(tmp_path, dso, server.url)
    assert found.refusal == ""
    assert (found.release, found.length) == (1, len(package_of()[1]))
    assert (tmp_path / "state" / "algorithms" / NAME / f"0.1.0-{found.sha256[:16]}").is_dir()


def test_a_truncated_package_is_refused_for_good_and_a_repository_that_is_away_is_asked_again(tmp_path, dso):
    with serving(dso.folder) as server:
        server.instead[package_of()[0]] = saying(package_of()[1][:-100])
        found = asked(tmp_path, dso, server.url)
        assert "expected the length and hash that are signed" in found.refusal
        assert not found.passing
        later = asked(tmp_path, dso, server.url, now=NOW + timedelta(days=3000))
        assert "found it expired" in later.refusal
        assert later.passing
    away = asked(tmp_path, dso, f"http://127.0.0.1:{free_port()}")
    assert away.refusal.startswith("expected a repository that can be reached")
    assert away.passing
    assert not (tmp_path / "state" / "algorithms" / NAME).exists()


@pytest.mark.parametrize(
    ("tag", "words", "problem"),
    [
        ("cp311-abi3-linux_riscv64", b"api_version = 1", "found nothing of that name for this machine"),
        (PURE, b"api_version = 2", "info.api_version: expected 1, found 2"),
    ],
)
def test_a_package_for_another_machine_or_vocabulary_is_refused_though_it_is_signed(tmp_path, dso, tag, words, problem):
    files = contents(package_of("0.2.0", 2)[1])
    for path in files:
        files[path] = files[path].replace(b"api_version = 1", words).replace(PURE.encode(), tag.encode())
    data = zipped(with_record(files))
    package = _as_signed(package_name(NAME, "0.2.0", tag), tag, data)
    dso.at(NOW).add(package, data)
    dso.confirm(NOW)
    with serving(dso.folder) as server:
        found = asked(tmp_path, dso, server.url, "0.2.0")
    assert problem in found.refusal
    assert not found.passing


def _as_signed(file_name, tag, data):
    """Describe a package as careless signers would."""
    right = read_package(*package_of("0.2.0", 2))
    digest = hashlib.sha256(data).hexdigest()
    return msgspec.structs.replace(right, file_name=file_name, tag=tag, sha256=digest, length=len(data))


def test_what_may_pass_is_tried_again_ever_later_and_others_get_their_turn_meanwhile():
    times = []
    away = FetchAnswer("away", passing=True)

    async def ask(name, _):
        if name == "other":
            return FetchAnswer(release=1, length=1, sha256=64 * "a")
        times.append(asyncio.get_running_loop().time())
        return away if len(times) < 12 else FetchAnswer("never", passing=False)

    async def go():
        fetches, reasons = Fetches(ask), []
        package = PackageReference(1, 1, 64 * "a")
        one = asyncio.ensure_future(fetches.fetch("one", "1.0.0", package, reasons.append))
        await asyncio.sleep(5.0)
        await fetches.fetch("other", "1.0.0", package, reasons.append)
        with pytest.raises(TrustError, match="never"):
            await one
        assert reasons == ["away"] * 11

    run_quickly(go())
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert 1.0 <= waits[0] <= 2.1
    assert 450.0 <= waits[-1] <= 901.0


def test_without_a_root_of_trust_nothing_is_asked(tmp_path):
    ask = asking_process(AgentConfig("m-1", "http://127.0.0.1:1", "x", tmp_path))
    found = asyncio.run(ask(NAME, "0.1.0"))
    assert found.refusal == ("expected a root of trust to judge packages by, found none; set root_file to the DSO's")
    assert not found.passing
