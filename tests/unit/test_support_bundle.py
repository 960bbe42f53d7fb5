"""A support bundle: everything that helps, nothing that is secret, whatever state the meter is in."""

import errno
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from agent.support import gathering
from tests.support.support_meter import SECRETS, environment_with, fake_programs, make_meter

COMMAND = [sys.executable, "-m", "agent", "support-bundle"]
ROOT = Path(__file__).parents[2]


def run(*words, environment=None, prefix=()):
    return subprocess.run(
        [*prefix, *COMMAND, *map(str, words)], env=environment, capture_output=True, cwd=ROOT, timeout=60, check=False
    )


def opened(data):
    """Read an archive; names without its folder."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name.partition("/")[2]: tar.extractfile(one).read() for one in tar.getmembers()}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meter")
    config = make_meter(folder)
    programs = environment_with(fake_programs(folder / "bin"))
    done = run("--config", config, "-o", "-", environment=programs)
    assert done.returncode == 0, done.stderr.decode()
    return done, opened(done.stdout)


def test_no_secret_is_in_it_wherever_it_was_planted(bundle):
    done, files = bundle
    everything = gzip.decompress(done.stdout) + done.stderr
    assert [name for name, secret in SECRETS.items() if secret.encode() in everything] == []
    assert len(files) > 15


def test_what_helps_is_in_it(bundle):
    _, files = bundle
    settings = json.loads(files["settings/settings.json"])["document"]
    assert settings["configuration"]["acquisition"]["options"]["voltage"] == pytest.approx(231.5)
    assert settings["configuration"]["algorithms"][0]["settings"]["window"] == 4
    assert settings["left out: not known by the schema"] == 1
    assert b"broker.example.org:8883" in files["settings/settings.json"]
    assert json.loads(files["isolation.json"])["layers"] == {"landlock": True, "seccomp": False}
    assert "the clock is free" in json.loads(files["status.json"])["reported"]["problems"]
    assert b"revision 7 is in force" in files["log/agent.log"]
    assert b"revision 7 is in force" in files["log/journal.txt"]
    assert json.loads(files["configuration.json"])["credential"] == "set"
    assert json.loads(files["machine.json"])["disks"]["/"]["size"] > 0
    assert json.loads(files["versions.json"])["tresma"]


def test_the_newest_recordings_are_in_it_and_no_more(bundle):
    _, files = bundle
    samples = [name for name in files if name.endswith(".cff")]
    assert samples == [f"recordings/2026112{number}T100000000Z.cff" for number in (4, 3, 2)]


def test_every_file_is_as_its_manifest_says_and_named_in_the_readme(bundle):
    files = dict(bundle[1])
    manifest = json.loads(files.pop("manifest.json"))
    assert {one["name"]: one["sha256"] for one in manifest["files"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    readme = files.pop("README.txt").decode()
    assert [name for name in files if name.partition("/")[0] not in readme] == []


def test_what_could_not_be_collected_is_said_with_its_reason(bundle):
    done, files = bundle
    missing = json.loads(files["manifest.json"])["missing"]
    assert missing["health/health.jsonl.before"].endswith("Too many levels of symbolic links")
    assert missing["settings/calibration.json"].startswith("expected ")
    assert all(f"not in it: {name}: {why}".encode() in done.stderr for name, why in missing.items())


def test_a_meter_of_which_nothing_is_left_still_gives_a_bundle(tmp_path):
    done = run("--config", tmp_path / "none.yaml", "--state-dir", tmp_path / "gone", "-o", tmp_path / "b.tar.gz")
    assert done.returncode == 0, done.stderr.decode()
    files = opened((tmp_path / "b.tar.gz").read_bytes())
    assert "machine.json" in files
    assert "none.yaml" in json.loads(files["configuration.json"])["problems"][0]
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o077 == 0


def test_damaged_files_cost_a_sentence_each(tmp_path):
    config = make_meter(tmp_path)
    state = tmp_path / "state"
    for name in ("settings", "settings.before"):
        (state / name).write_bytes(b"tresma 1 00000000\n{" + os.urandom(100))
    (state / "support" / "status.json").write_bytes(os.urandom(1000))
    (state / "support" / "agent.log").unlink()
    os.mkfifo(state / "support" / "agent.log")
    done = run("--config", config, "-o", "-", "--json")
    files = opened(done.stdout)
    missing = json.loads(files["manifest.json"])["missing"]
    assert "damaged" in missing["settings/settings.json"]
    assert {"status.json", "isolation.json", "log/agent.log"} <= set(missing)
    assert (state / "settings").exists()  # looked at, not put aside
    assert json.loads(done.stderr.splitlines()[-1])["missing"] == missing


def test_on_a_full_disk_the_sentence_says_how_to_get_it_elsewhere(tmp_path):
    config = make_meter(tmp_path)
    (tmp_path / "full").mkdir()
    small = (sys.executable, str(ROOT / "tests/support/small_disk.py"), str(tmp_path / "full"), "4096")
    done = run("--config", config, "-o", tmp_path / "full" / "b.tar.gz", prefix=small)
    assert done.returncode == 69
    assert b"No space left on device; name another with -o FILE" in done.stderr


def test_whoever_stops_reading_is_told_and_a_terminal_gets_no_archive(tmp_path):
    config = make_meter(tmp_path)
    with subprocess.Popen(
        [*COMMAND, "--config", str(config), "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 69
    assert b"expected somebody to read the bundle to its end" in said


def test_it_is_bounded_whatever_lies_on_the_card(tmp_path):
    config = make_meter(tmp_path)
    with (tmp_path / "state" / "support" / "agent.log").open("ab") as log:
        log.write(b"a line that is nothing special\n" * 80_000)
    with (tmp_path / "state" / "settings").open("ab") as settings:
        settings.write(b" " * 6_000_000)
    files = opened(run("--config", config, "-o", "-").stdout)
    assert len(files["log/agent.log"]) <= 2 * 1024 * 1024
    assert "found more" in json.loads(files["manifest.json"])["missing"]["settings/settings.json"]


def test_a_card_that_cannot_be_read_any_more_costs_a_sentence_for_each_file_and_not_the_bundle(tmp_path, monkeypatch):
    """As `OSError` of any look at the meter; one of the archive's own ends it, since nobody would get it."""
    meter = gathering.meter_of(make_meter(tmp_path), {})
    worn = OSError(errno.EIO, os.strerror(errno.EIO))

    def broken(*_words):
        raise worn

    monkeypatch.setattr(gathering.machine, "state_of", broken)
    monkeypatch.setattr(gathering, "_settings", broken)
    out = io.BytesIO()
    bundle = gathering.gather(meter, out, lambda _: None)
    files = opened(out.getvalue())
    missing = json.loads(files["manifest.json"])["missing"]
    for name in ("machine.json", "settings/settings.json", "settings/settings.before.json"):
        assert missing[name] == "expected to collect it, found: Input/output error"
    assert {"log/agent.log", "versions.json", "README.txt"} <= set(files)
    assert len(bundle.files) > 10
    monkeypatch.setattr(gathering.Bundle, "add", broken)
    with pytest.raises(OSError, match="Input/output error"):
        gathering.gather(meter, io.BytesIO(), lambda _: None)


def test_a_configuration_that_is_a_link_to_itself_is_told_in_the_bundle(tmp_path):
    circle = tmp_path / "agent.yaml"
    circle.symlink_to(circle)
    done = run("--config", circle, "--state-dir", tmp_path, "-o", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(opened(done.stdout)["configuration.json"])["problems"]
