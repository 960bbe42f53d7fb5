"""
The test that every waveform source passes, built in or foreign: `check_source`.

Where it stands: a driver's author calls it from a test, with a function that makes the source and what is asked of it;
so do tresma's own tests::

    def test_my_board_conforms():
        check_source(lambda: MyBoard({"serial": "1"}), SourceRequest(sample_rate=500e3)).raise_if_failed()

Rules: each finding is about one rule of `source`; the source is driven as a sampler drives it, so a live one takes a
few seconds; what could not be judged because a rule before it failed is left out rather than blamed twice.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from algorithms.api.conformance_report import Finding, Report
from algorithms.api.errors import shortened
from algorithms.api.samples import NANOSECONDS, SampleBlock, SampleFlag
from hardware.errors import SourceError
from hardware.source import ChannelRequest, EndOfRecording, SourceInfo, SourcePlan, SourceRequest, WaveformSource

_slack = 0.25
"""How much longer than its timeout a read may take on a busy machine [s]."""
_patience = 5.0
"""How long a live source may be silent at its start, beyond its blocks [s]."""


def check_source(
    make: Callable[[], WaveformSource],
    request: SourceRequest,
    *,
    blocks: int = 25,
    bad_requests: Sequence[SourceRequest] = (),
    reference: Callable[[SampleBlock], bool] | None = None,
) -> Report:
    """
    Test that a waveform source is one.

    Parameters
    ----------
    make : callable
        Makes a source as its driver would, without opening anything.
    request : SourceRequest
        One that it can grant.
    blocks : int
        How many blocks are read in each run.
    bad_requests : sequence of SourceRequest
        Further requests that it must refuse; absurd rates, durations and doubled channels are tried anyway.
    reference : callable or None
        Tells whether a block's values are what was really there, where the test knows: no sample is invented.

    Returns
    -------
    Report
    """
    check = _Check(make, request, blocks)
    check.made()
    if not check.failed:
        check.run("first run", reference)
    if not check.failed:
        check.run("second run, after a stop", reference)
        check.stopped_while_reading()
        check.refusals(bad_requests)
    return Report(check.name, "source", tuple(check.findings))


@dataclass
class _Check:
    make: Callable[[], WaveformSource]
    request: SourceRequest
    blocks: int
    name: str = "source"
    findings: list[Finding] = field(default_factory=list)
    source: WaveformSource | None = None

    @property
    def failed(self) -> bool:
        return any(not finding.passed for finding in self.findings)

    def expect(self, rule: str, right: bool, detail: str) -> bool:
        self.findings.append(Finding(rule, bool(right), detail))
        return bool(right)

    def made(self) -> None:
        try:
            source = self.make()
        except Exception as error:  # noqa: BLE001 - a foreign constructor; told as a finding
            self.expect("made", False, f"expected a source, found {type(error).__name__}: {shortened(str(error), 300)}")
            return
        right = isinstance(source, WaveformSource) and isinstance(source.info, SourceInfo)
        if not self.expect("made", right, "expected info, start, read and stop, and info a SourceInfo"):
            return
        self.source, self.name = source, source.info.driver
        self.expect("info names the driver", bool(source.info.driver), f"found {source.info.driver!r}")
        rate = source.info.maximum_rate
        self.expect("maximum rate is a bound", math.isfinite(rate) and rate >= 0, f"found {rate} [Hz]")
        self._stops_twice(source, "stop before a start, twice")
        try:
            source.read(0.0)
        except RuntimeError as error:
            self.expect("read before start is refused", True, f"found {error}")
        except Exception as error:  # noqa: BLE001 - told as a finding
            self.expect("read before start is refused", False, f"expected RuntimeError, found {type(error).__name__}")
        else:
            self.expect("read before start is refused", False, "expected RuntimeError, found none")

    def run(self, when: str, reference: Callable[[SampleBlock], bool] | None) -> None:
        """Drive the source once from start to stop."""
        source = self.source
        if source is None:
            return
        try:
            plan = source.start(self.request)
        except Exception as error:  # noqa: BLE001 - told as a finding
            found = f"{type(error).__name__}: {shortened(str(error), 300)}"
            self.expect(f"{when}: starts", False, f"expected a plan, found {found}")
            return
        try:
            self._plan(plan, when)
            found_blocks = self._read(source, plan, when)
            if not found_blocks:
                return
            self._blocks(found_blocks, plan, when)
            if reference is not None:
                wrong = [block.first_index for block in found_blocks if not reference(block)]
                self.expect(f"{when}: no sample is invented", not wrong, f"found others in blocks at {wrong[:5]}")
        finally:
            self._stops_twice(source, f"{when}: stop, twice")

    def stopped_while_reading(self) -> None:
        """Stop after one block, and see that a read is wrong use again."""
        source = self.source
        if source is None:
            return
        try:
            source.start(self.request)
            source.read(0.0)
            source.stop()
        except Exception as error:  # noqa: BLE001 - told as a finding
            self.expect("stops at any time", False, f"found {type(error).__name__}: {shortened(str(error), 300)}")
            return
        try:
            source.read(0.0)
        except RuntimeError:
            self.expect("read after stop is refused", True, "RuntimeError")
        except Exception as error:  # noqa: BLE001 - told as a finding
            self.expect("read after stop is refused", False, f"expected RuntimeError, found {type(error).__name__}")
        else:
            self.expect("read after stop is refused", False, "expected RuntimeError, found none")

    def refusals(self, further: Sequence[SourceRequest]) -> None:
        """Ask for what nobody can grant."""
        channel = self.request.channels[0] if self.request.channels else None
        requests = [
            replace(self.request, sample_rate=rate) for rate in (0.0, -self.request.sample_rate, math.nan, math.inf)
        ]
        requests += [replace(self.request, block_duration=duration) for duration in (0.0, -1.0, math.nan, 1e9)]
        requests += [replace(self.request, nominal_frequency=0.0), replace(self.request, nominal_voltage=-1.0)]
        if channel is not None:
            absurd: list[ChannelRequest] = [replace(channel, ratio=math.nan), replace(channel, gain=0.0)]
            requests += [replace(self.request, channels=(wrong, *self.request.channels[1:])) for wrong in absurd]
            requests.append(replace(self.request, channels=(channel, channel)))
            nowhere = replace(channel, input="no such input")
            requests.append(replace(self.request, channels=(nowhere, *self.request.channels[1:])))
        for wrong_request in (*requests, *further):
            self._refuses(wrong_request)

    def _refuses(self, request: SourceRequest) -> None:
        source = self.source
        if source is None:
            return
        differing = [
            f"{name} {shortened(getattr(request, name), 60)}"
            for name in ("sample_rate", "block_duration", "nominal_frequency", "nominal_voltage", "channels")
            if getattr(request, name) is not getattr(self.request, name)
        ]
        rule = f"refuses {', '.join(differing)}"
        try:
            source.start(request)
        except SourceError as error:
            self.expect(rule, bool(str(error)), shortened(str(error), 200))
        except Exception as error:  # noqa: BLE001 - told as a finding
            self.expect(rule, False, f"expected SourceError, found {type(error).__name__}: {shortened(str(error))}")
        else:
            self.expect(rule, False, "expected SourceRefused, found a plan")
        self._stops_twice(source, "", quietly=True)

    def _stops_twice(self, source: WaveformSource, rule: str, *, quietly: bool = False) -> None:
        try:
            source.stop()
            source.stop()
        except Exception as error:  # noqa: BLE001 - told as a finding
            self.expect(rule or "stop, twice", False, f"found {type(error).__name__}: {shortened(str(error), 300)}")
        else:
            if not quietly:
                self.expect(rule, True, "no error")

    def _plan(self, plan: SourcePlan, when: str) -> None:
        self.expect(
            f"{when}: plan", math.isfinite(plan.sample_rate) and plan.sample_rate > 0 and plan.block_samples >= 1,
            f"expected a rate above 0 and samples in a block, found {plan.sample_rate} Hz and {plan.block_samples}",
        )  # fmt: skip
        names = [channel.name for channel in plan.channels]
        self.expect(
            f"{when}: channels", bool(names) and len(set(names)) == len(names),
            f"expected channels, each name once, found {shortened(names)}",
        )  # fmt: skip
        if self.request.channels:
            asked = [channel.name for channel in self.request.channels]
            self.expect(f"{when}: channels as asked for", names == asked, f"expected {asked}, found {names}")

    def _read(self, source: WaveformSource, plan: SourcePlan, when: str) -> list[SampleBlock]:
        """Read blocks with changing timeouts, and see that each is honoured."""
        duration = plan.block_samples / plan.sample_rate
        deadline = time.monotonic() + _patience + 3 * self.blocks * duration
        found: list[SampleBlock] = []
        kept: list[NDArray[np.floating]] = []
        longest, empty = 0.0, 0
        while len(found) < self.blocks and time.monotonic() < deadline:
            timeout = (0.0, duration / 2, 2 * duration)[(len(found) + empty) % 3]
            begun = time.monotonic()
            try:
                block = source.read(timeout)
            except EndOfRecording:
                break
            except Exception as error:  # noqa: BLE001 - told as a finding
                self.expect(f"{when}: reads", False, f"found {type(error).__name__}: {shortened(str(error), 300)}")
                return []
            longest = max(longest, time.monotonic() - begun - timeout)
            if block is None:
                empty += 1
            else:
                found.append(block)
                kept.append(np.array(block.values))
        self.expect(f"{when}: reads", bool(found), f"expected blocks, found {len(found)} and {empty} empty answers")
        self.expect(
            f"{when}: a read keeps to its timeout", longest <= _slack, f"longest was {longest:.3f} s over its timeout"
        )
        same = all(np.array_equal(copy, block.values, equal_nan=True) for copy, block in zip(kept, found, strict=True))
        self.expect(f"{when}: a block stays as it was", same, "expected values that later reads leave alone")
        return found

    def _blocks(self, blocks: list[SampleBlock], plan: SourcePlan, when: str) -> None:
        shape = [block for block in blocks if block.values.shape != (len(plan.channels), block.n_samples)]
        self.expect(f"{when}: shape", not shape and all(block.n_samples > 0 for block in blocks),
                    f"expected ({len(plan.channels)}, n) with n > 0")  # fmt: skip
        self.expect(f"{when}: type", all(block.values.dtype in (np.float32, np.float64) for block in blocks),
                    f"expected float32 or float64, found {blocks[0].values.dtype}")  # fmt: skip
        self.expect(f"{when}: values are read-only", not any(block.values.flags.writeable for block in blocks),
                    "expected values that nobody can change")  # fmt: skip
        self.expect(f"{when}: channels as planned", all(block.channels == plan.channels for block in blocks),
                    "expected the plan's channels in every block")  # fmt: skip
        self.expect(f"{when}: rate as planned", math.isclose(blocks[0].sample_rate, plan.sample_rate, rel_tol=0.01),
                    f"expected {plan.sample_rate} Hz, found {blocks[0].sample_rate}")  # fmt: skip
        hidden = [
            block.first_index
            for block in blocks
            if SampleFlag.MISSING not in block.flags and not np.isfinite(block.values).all()
        ]
        self.expect(f"{when}: missing samples are flagged", not hidden, f"found unflagged ones in {hidden[:5]}")
        self.expect(
            f"{when}: first index", blocks[0].first_index >= 0, f"expected 0 or more, found {blocks[0].first_index}"
        )
        for before, block in pairwise(blocks):
            self._pair(before, block, when)
            if self.failed:
                break

    def _pair(self, before: SampleBlock, block: SampleBlock, when: str) -> None:
        gap = block.first_index - before.end_index
        if gap < 0:
            self.expect(f"{when}: index", False, f"expected {before.end_index} or later, found {block.first_index}")
        if (gap > 0) != (SampleFlag.LOST in block.flags):
            self.expect(f"{when}: loss is flagged", False, f"found a gap of {gap} samples with {block.flags!r}")
        if (block.sample_rate != before.sample_rate) > (SampleFlag.RATE_CHANGED in block.flags) and not math.isclose(
            block.sample_rate, before.sample_rate, rel_tol=1e-3
        ):
            self.expect(f"{when}: a change of rate is flagged", False, f"found {block.flags!r}")
        if block.time_ns <= before.time_ns:
            self.expect(f"{when}: time goes on", False, f"expected later than {before.time_ns}, found {block.time_ns}")
        expected = before.end_ns + gap / block.sample_rate * NANOSECONDS
        allowed = 0.1 * before.duration + 1 / block.sample_rate + 1 / before.sample_rate + 1e-6
        if abs(block.time_ns - expected) > allowed * NANOSECONDS:
            self.expect(
                f"{when}: time agrees with index", False,
                f"expected {expected:.0f} ns within {allowed:.2g} s at sample {block.first_index}, "
                f"found {block.time_ns}",
            )  # fmt: skip
