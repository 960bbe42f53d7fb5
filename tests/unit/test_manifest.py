"""What an algorithm says of itself is read from TOML and judged whole."""

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.errors import ManifestError
from algorithms.api.manifest import AlgorithmInfo, Limits, manifest_from_toml, problems_of_info
from algorithms.api.records import Kind
from algorithms.api.settings import Setting
from tests.support.example_algorithm import VoltageDips

RIGHT = b"""
entry = "our_dips.dips:VoltageDips"
release = 4
runtime = ["numpy"]

[info]
name = "voltage-dips"
version = "1.0.0-rc.1"
summary = "Tells of voltage dips."
consumes = ["frame"]
produces = ["event", "result"]
contents = ["dips/1"]
checkpoint_interval = 60

[[info.settings]]
name = "threshold"
type = "number"
description = "Below this share of nominal."
default = 0.9
minimum = 0.1

[limits]
memory = 1000000
"""


def test_a_manifest_is_read_with_its_defaults():
    manifest = manifest_from_toml(RIGHT)
    assert manifest.entry == "our_dips.dips:VoltageDips"
    assert manifest.release == 4
    assert manifest.limits == Limits(memory=1_000_000)
    assert manifest.info.consumes == (Kind.FRAME,)
    assert manifest.info.settings[0] == Setting(
        "threshold", "number", "Below this share of nominal.", default=0.9, minimum=0.1
    )
    assert manifest.info.checkpoint_interval == 60.0


def test_all_problems_of_form_are_told_at_once():
    document = RIGHT.replace(b"release = 4", b'release = "four"').replace(b'["frame"]', b'["frames"]')
    document = document.replace(b"memory", b"memmory").replace(b"minimum", b"minnimum").replace(b"entry", b"enter")
    with pytest.raises(ManifestError) as caught:
        manifest_from_toml(document)
    assert sorted(problem.where for problem in caught.value.problems) == [
        "enter",
        "entry",
        "info.consumes",
        "info.settings[0].minnimum",
        "limits.memmory",
        "release",
    ]
    assert "did you mean memory?" in str(caught.value)


def test_all_problems_of_content_are_told_at_once():
    document = RIGHT.replace(b":VoltageDips", b"").replace(b"release = 4", b"release = 0")
    document = document.replace(b"1000000", b"-1").replace(b"1.0.0-rc.1", b"one").replace(b"0.9", b"0.01")
    with pytest.raises(ManifestError) as caught:
        manifest_from_toml(document)
    assert sorted(problem.where for problem in caught.value.problems) == [
        "entry",
        "info.settings.threshold.default",
        "info.version",
        "limits.memory",
        "release",
    ]


@pytest.mark.parametrize("data", [b"\xff", b"= 5", b"info = 5", b"x" * 300_000, b"a=" + b"[" * 100_000])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(ManifestError):
        manifest_from_toml(data)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_raise_nothing_else(data):
    with pytest.raises(ManifestError):
        manifest_from_toml(data)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": "9dips"}, "name"),
        ({"version": "1.0"}, "version"),
        ({"summary": " "}, "summary"),
        ({"api_version": 99}, "api_version"),
        ({"consumes": ()}, "consumes"),
        ({"produces": (Kind.SAMPLES,)}, "produces"),
        ({"time_budget": 0.0}, "time_budget"),
        ({"time_budget": float("nan")}, "time_budget"),
        ({"tick_interval": -1.0}, "tick_interval"),
        ({"history": float("inf")}, "history"),
        ({"contents": ("dips/1",)}, "contents"),
        ({"produces": (Kind.RESULT,)}, "contents"),
        ({"produces": (Kind.RESULT,), "contents": ("dips",)}, "contents"),
        ({"settings": VoltageDips.info.settings[:1] * 2}, "settings"),
    ],
)
def test_each_fault_of_an_info_is_one_problem(change, where):
    info: AlgorithmInfo = msgspec.structs.replace(VoltageDips.info, **change)
    assert [problem.where for problem in problems_of_info(info)] == [f"info.{where}"]


def test_a_version_made_to_confuse_is_judged_in_no_time():
    info = msgspec.structs.replace(VoltageDips.info, version="1.0.0" + "a" * 10_000 + "!")
    started = time.process_time()
    assert [problem.where for problem in problems_of_info(info)] == ["info.version"]
    assert time.process_time() - started < 1.0  # not a figure: without a bound it would take for ever
