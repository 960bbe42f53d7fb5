"""The restart policy: how long something that died has to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.supervisor import ALGORITHM_POLICY, SAMPLER_POLICY, RestartPolicy, Restarts, State


def test_waits_double_up_to_the_cap_while_it_keeps_failing():
    restarts = Restarts(RestartPolicy(first_delay=1.0, longest_delay=8.0, quarantine=0.0))
    waits = [restarts.failed(now=float(k), jitter=0.999999) for k in range(6)]
    assert waits == pytest.approx([1, 2, 4, 8, 8, 8], rel=1e-5)
    assert restarts.count == 6


def test_a_healthy_run_makes_earlier_failures_forgotten():
    restarts = Restarts(RestartPolicy(healthy_after=60.0, window=10.0))
    restarts.failed(now=0.0, jitter=0.0)
    restarts.failed(now=1.0, jitter=0.0)
    restarts.started(now=3.0)
    assert restarts.failed(now=70.0, jitter=0.0) == pytest.approx(0.5)


def test_repeated_failure_within_the_window_ends_in_quarantine():
    restarts = Restarts(ALGORITHM_POLICY)
    for k in range(ALGORITHM_POLICY.failures):
        wait = restarts.failed(now=k * 10.0, jitter=0.5)
    assert restarts.state is State.QUARANTINED
    assert wait == ALGORITHM_POLICY.quarantine


def test_failures_spread_over_more_than_the_window_never_end_in_quarantine():
    restarts = Restarts(RestartPolicy(failures=3, window=100.0))
    for k in range(50):
        restarts.failed(now=k * 51.0, jitter=0.5)
        assert restarts.state is State.BACKOFF


@given(jitters=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40))
def test_a_sampler_is_always_tried_again_within_its_cap(jitters):
    restarts = Restarts(SAMPLER_POLICY)
    for k, jitter in enumerate(jitters):
        assert 0 < restarts.failed(now=float(k), jitter=jitter) <= SAMPLER_POLICY.longest_delay
        assert restarts.state is State.BACKOFF
