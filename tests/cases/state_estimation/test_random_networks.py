"""
Random radial networks of any phases with random meters, some silent, some loads unknown: nothing fails.

A failure is an exception, an estimate that does not converge or is not finite, or a truth more than six of its own
standard uncertainties away. Ten thousand of up to 500 nodes: `tests/benchmarks/estimation_statistics.py`.
"""

import pytest

from tests.support.estimation_trials import random_failures


@pytest.mark.parametrize("dozen", range(8))
def test_no_random_network_fails(dozen):
    failures = random_failures(range(1000 + 12 * dozen, 1012 + 12 * dozen), largest=120)
    assert not failures
