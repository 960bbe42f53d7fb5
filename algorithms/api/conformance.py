"""
The test that every algorithm passes, built in or foreign: `check_algorithm`.

Where it stands: an author calls it from a test, with settings, a context and records as the algorithm will meet them,
and an operator's tools call it before an algorithm is let in::

    def test_energy_conforms():
        check_algorithm(Energy, settings=settings, context=context, records=blocks).raise_if_failed()

Rules:

- Each finding is about one rule, and stands alone: what could not be judged because a rule before it failed is left
  out rather than blamed twice.
- The algorithm is run many times from a fresh instance, never in a process of its own: a crash of the interpreter or
  an endless loop is the host's to bound.
- Nothing depends on how fast this machine is: processor time is told, and held against an algorithm only where it is
  ten times what it declares.
"""

import pickle
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from algorithms.api import wire
from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.conformance_report import Finding, Report
from algorithms.api.conformance_runs import (
    HEADER,
    Input,
    attempt,
    copies,
    drive,
    fingerprint,
    garbage,
    kind_of_input,
    undeclared,
    unreadable,
    with_gap,
    with_new_rate,
    wrong_value,
)
from algorithms.api.conformance_watch import Watch
from algorithms.api.errors import CheckpointError, SettingsError, shortened
from algorithms.api.manifest import AlgorithmInfo, problems_of_info
from algorithms.api.records import Record
from algorithms.api.samples import SampleBlock

TIME_FACTOR = 10.0
"""How many times its own budget the median call may take here before that is a finding."""

_unknown = "no_such_setting"
_useless_settings: tuple[dict[str, Any], ...] = ({"": None}, {"window": ...}, {"a" * 1000: [{}]})


def check_algorithm(
    algorithm_class: type[Algorithm],
    *,
    settings: Mapping[str, Any],
    context: Context,
    records: Iterable[SampleBlock | Record],
    bad_settings: Sequence[Mapping[str, Any]] = (),
) -> Report:
    """
    Test that an algorithm is one.

    Parameters
    ----------
    algorithm_class : type of Algorithm
    settings : mapping
        Settings that are right.
    context : Context
    records : iterable of SampleBlock or Record
        What it will meet, oldest first; a second of samples or more lets it say something.
    bad_settings : sequence of mapping
        Further settings, each refused as a whole with every one of its entries named; wrong types and unknown names
        are tried anyway.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        When the algorithm consumes none of the records, or needs a network and is given none: nothing can be tested.

    Examples
    --------
    >>> from algorithms.api.manifest import AlgorithmInfo
    >>> from algorithms.api.records import Event, Kind, Severity
    >>> class Quiet(Algorithm):
    ...     info = AlgorithmInfo("quiet", "1.0.0", "Passes events on.", (Kind.EVENT,), (Kind.EVENT,))
    ...     def start(self, context, restored):
    ...         read_settings(self.info.settings, self.settings)
    ...     def process(self, record):
    ...         return [record, record]
    >>> from algorithms.api.settings import read_settings
    >>> dip = Event("voltage-dip", "t-1", 1_700_000_000_000_000_000, None, Severity.NOTICE)
    >>> report = check_algorithm(Quiet, settings={}, context=Context(device="m-1"), records=[dip, dip])
    >>> [finding.rule for finding in report.failed]  # no other process finds a class that is written at a prompt
    ['importable']
    """
    check = _Check(algorithm_class, settings, context, tuple(records), tuple(bad_settings))
    subject = f"{algorithm_class.__module__}:{algorithm_class.__qualname__}"
    return Report(subject, "algorithm", tuple(check.findings()))


class _Check:
    def __init__(
        self,
        algorithm_class: type[Algorithm],
        settings: Mapping[str, Any],
        context: Context,
        records: tuple[Input, ...],
        bad_settings: tuple[Mapping[str, Any], ...],
    ) -> None:
        self.algorithm_class = algorithm_class
        self.settings = settings
        self.context = context
        self.offered = records
        self.bad_settings = bad_settings
        self.writable = True

    def findings(self) -> Iterator[Finding]:
        info = getattr(self.algorithm_class, "info", None)
        if not isinstance(info, AlgorithmInfo) or not issubclass(self.algorithm_class, Algorithm):
            yield Finding(
                "info",
                False,
                "expected a subclass of Algorithm with an AlgorithmInfo as `info`, found neither or one of them",
            )
            return
        problems = problems_of_info(info)
        yield _judged("info", "; ".join(map(str, problems)), "everything a host must know is there")
        self.info: AlgorithmInfo = info
        self.records = tuple(record for record in self.offered if kind_of_input(record) in info.consumes)
        if info.consumes and len(self.records) < 2:
            raise ValueError(
                f"two or more records of {', '.join(info.consumes)} expected to test {info.name}, found "
                f"{len(self.records)}"
            )
        if info.needs_network and self.context.network is None:
            raise ValueError(f"a context with a network expected, since {info.name} needs one, found none")
        yield self._importable()
        constructor = self._constructor()
        yield constructor
        if not constructor.passed:
            return
        yield self._settings()
        yield self._unknown_setting()
        yield from self._running()

    def _running(self) -> Iterator[Finding]:
        before = [fingerprint(record) for record in self.records]
        given = copies(self.records, writable=True)
        outputs, problem = attempt(lambda: self._drive(given))
        yield _judged("process", problem, f"{len(given)} records taken, {len(outputs or ())} returned")
        if outputs is None:
            return
        touched = sum(fingerprint(record) != old for record, old in zip(given, before, strict=True))
        self.writable = touched > 0  # go on with what it can bear, so that it is blamed once
        yield _judged(
            "input-untouched",
            f"expected its input as it was, found {touched} of {len(given)} records changed; work on a copy"
            if touched
            else "",
            "no record was changed",
        )
        strange = undeclared(outputs, self.info)
        yield _judged("output-declared", strange, "only the kinds and contents that info declares")
        if strange:
            return
        wrong = unreadable(outputs)
        yield _judged("output-values", wrong, "finite, of the stated types, readable by others")
        self.values_are_right = not wrong
        watch = Watch()
        attempt(lambda: self._drive(self._input(), states=[], watch=watch))
        called = ", ".join(watch.calls)
        yield _judged(
            "isolation",
            f"expected neither clock, randomness, files, sockets, threads nor processes, found {called}; take the time"
            " from the records and from tick"
            if called
            else "",
            "no clock, randomness, file, socket, thread or process was used",
        )
        if not watch.calls and not wrong:
            yield self._same_output()
        yield self._bears("gap", with_gap(self._input()), "goes on after missing records")
        if any(isinstance(record, SampleBlock) for record in self.records):
            yield self._bears(
                "rate-changed", with_new_rate(self._input()), "goes on after a change of the sampling rate"
            )
        yield from self._checkpoints()
        yield self._stop()
        yield self._time_budget()

    def _importable(self) -> Finding:
        """Elsewhere than on Linux, a host hands the class to the algorithm's process by its name."""
        found, problem = attempt(lambda: pickle.loads(pickle.dumps(self.algorithm_class)))  # noqa: S301 - our own bytes
        detail = (
            "" if found is self.algorithm_class else f"expected a class at the top of an importable module; {problem}"
        )
        return _judged("importable", detail, "the class is found by its name")

    def _constructor(self) -> Finding:
        unread = _Unread()
        with Watch() as watch:
            instance, problem = attempt(lambda: self.algorithm_class(unread))
        if not problem and (unread.read or watch.calls):
            problem = "expected a constructor that only stores its arguments, found that it read the settings"
            if watch.calls:
                problem = f"expected a constructor that only stores its arguments, found {', '.join(watch.calls)}"
        if not problem and instance is not None and instance.settings is not unread:
            problem = "expected `self.settings` to be the settings given, found something else; call super().__init__"
        if not problem:
            for useless in _useless_settings:
                problem = problem or attempt(partial(self.algorithm_class, useless))[1]
        return _judged(
            "constructor", f"{problem}; do it in start" if problem else "", "stores its arguments, does nothing"
        )

    def _refusal(self, settings: Mapping[str, Any], names: Iterable[str]) -> str:
        """Start with `settings`; say what is wrong with the answer unless it names all of `names`."""

        def begin() -> None:
            self.algorithm_class(settings).start(self.context, None)

        try:
            begin()
        except SettingsError as error:
            missing = [name for name in names if not any(name in problem.where for problem in error.problems)]
            if not missing:
                return ""
            return f"expected one SettingsError with every problem, found none about {', '.join(missing)} in: {error}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a foreign algorithm raises is a finding
            return f"expected a SettingsError, found {type(error).__name__}: {shortened(str(error))}"
        return f"expected a SettingsError about {', '.join(names)}, found that it started; use read_settings"

    def _settings(self) -> Finding:
        wrong = {setting.name: wrong_value(setting) for setting in self.info.settings}
        tried = [bad for bad in (wrong, *self.bad_settings) if bad]
        for bad in tried:
            problem = self._refusal({**self.settings, **bad}, list(bad))
            if problem:
                return Finding("settings", False, problem)
        return Finding("settings", True, f"{len(tried)} sets of wrong settings refused with all their problems")

    def _unknown_setting(self) -> Finding:
        problem = self._refusal({**self.settings, _unknown: 1}, [_unknown])
        return _judged("unknown-setting", problem, "a setting that is not declared is refused")

    def _input(self) -> list[Input]:
        return copies(self.records, writable=self.writable)

    def _drive(self, records: Sequence[Input], **options: Any) -> list[Any]:
        return drive(self.algorithm_class, self.settings, self.context, records, **options)

    def _same_output(self) -> Finding:
        first, second = (self._outcome() for _ in range(2))
        detail = (
            "" if first == second else "expected the same bytes from the same input, found two fresh instances differ"
        )
        return _judged("same-output", detail, "two fresh instances returned the same bytes")

    def _outcome(self) -> list[bytes]:
        states: list[Any] = []
        outputs = attempt(lambda: self._drive(self._input(), states=states))[0] or []
        return [wire.encode(output, HEADER) for output in outputs] + [repr(state).encode() for state in states]

    def _bears(self, rule: str, records: list[Input], passed: str) -> Finding:
        outputs, problem = attempt(lambda: self._drive(records))
        if not problem and outputs is not None:
            problem = undeclared(outputs, self.info) or (unreadable(outputs) if self.values_are_right else "")
        return _judged(rule, problem, passed)

    def _checkpoints(self) -> Iterator[Finding]:
        middle = len(self.records) // 2
        states: list[Any] = []
        _, problem = attempt(lambda: self._drive(self._input()[:middle], states=states))
        state = states[-1] if states else None
        if not problem and not isinstance(state, bytes):
            problem = f"expected bytes from checkpoint(), found {type(state).__name__}"
        if not problem:
            _, problem = attempt(lambda: self._drive(self._input()[middle:], restored=state))
        yield _judged("checkpoint", problem, f"a fresh instance goes on from {len(state or b'')} bytes")
        if problem or not isinstance(state, bytes):
            return
        for remains in garbage(state):
            try:
                self._drive(self._input()[: middle + 1], restored=remains)
            except CheckpointError:
                continue
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a foreign algorithm raises is a finding
                problem = (
                    f"expected a CheckpointError or a clean start, found {type(error).__name__}: "
                    f"{shortened(str(error))}, with {shortened(remains, 30)}"
                )
                break
        yield _judged("garbage-checkpoint", problem, "what is no checkpoint is refused or passed over")

    def _stop(self) -> Finding:
        def end_twice() -> None:
            algorithm = self.algorithm_class(self.settings)
            algorithm.start(self.context, None)
            algorithm.stop()
            algorithm.stop()

        return _judged("stop", attempt(end_twice)[1], "may come twice")

    def _time_budget(self) -> Finding:
        times: list[float] = []
        attempt(lambda: self._drive(self._input(), times=times, clock=time.process_time))
        if not times:
            return Finding("time-budget", True, "nothing to measure")
        median, slowest, budget = statistics.median(times), max(times), self.info.time_budget
        figures = (
            f"median {1e3 * median:.3g} ms, slowest {1e3 * slowest:.3g} ms in a call, {1e3 * budget:.3g} ms declared"
        )
        return Finding("time-budget", median <= TIME_FACTOR * budget, figures)


class _Unread(Mapping[str, Any]):
    """Settings that remember whether they were looked into."""

    def __init__(self) -> None:
        self.read = False

    def __getitem__(self, name: str) -> Any:
        self.read = True
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        self.read = True
        return iter(())

    def __len__(self) -> int:
        self.read = True
        return 0


def _judged(rule: str, problem: str, passed: str) -> Finding:
    return Finding(rule, not problem, problem or passed)
