"""
``tresma algorithm``: write one, check it, pack it, look into a package.

Nothing here needs a catalog. What a package must be stands in `device_catalog.contract.packages`; how one is made in
`device_catalog.packages`.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from algorithms.api.conformance_report import Finding
from algorithms.api.errors import shortened
from algorithms.api.manifest import Manifest
from algorithms.api.settings import Setting
from device_catalog.contract.packages import MAXIMUM_PACKAGE, PURE, Package, PackageError, read_package
from device_catalog.operator.errors import Answered, OperatorError, UsageError
from device_catalog.operator.output import note, say, say_json
from device_catalog.packages.description import describe
from device_catalog.packages.packing import manifest_of, pack
from device_catalog.packages.skeleton import write_skeleton
from device_catalog.packages.trial import TIMEOUT, Trial, try_algorithm, unpacked
from device_catalog.packages.trial import judged as judge_trial

AddCommand = Callable[..., argparse.ArgumentParser]

_NEW = "example:\n  tresma algorithm new voltage-band && cd voltage-band && pytest"
_CHECK = """\
Runs in a process of its own with the limits of algorithm.toml. Without a recording, two seconds of a simulated
connection are used. Times are this machine's; the slowest target is several times slower.

examples:
  tresma algorithm check voltage-band
  tresma algorithm check voltage_band-0.1.0-py3-none-any.whl --recording fault.cfg --set band=0.2
"""
_PACK = "example:\n  tresma algorithm pack voltage-band -o .        writes ./voltage_band-0.1.0-py3-none-any.whl"
_INSPECT = "example:\n  tresma algorithm inspect voltage_band-0.1.0-py3-none-any.whl"


def add_commands(subjects: Any, command: AddCommand, epilog: str) -> None:
    """Add ``algorithm`` with its commands to the command line."""
    subject = subjects.add_parser("algorithm", help="write, check, pack and inspect algorithms", epilog=epilog)
    commands = subject.add_subparsers(required=True, metavar="new|check|pack|inspect")

    new = command(commands, "new", "write a complete, tested package to start from", _NEW)
    new.add_argument("name", metavar="NAME", help="such as voltage-band")
    new.add_argument("--in", dest="parent", type=Path, default=Path(), metavar="FOLDER", help="where (default: here)")
    new.set_defaults(command=_new)

    check = command(commands, "check", "test an algorithm: the rules of all, and runs over recordings", _CHECK)
    check.add_argument("what", type=Path, metavar="FOLDER|WHEEL")
    check.add_argument("--recording", type=Path, nargs="+", default=[], metavar="FILE", help=".cfg, .cff or .jsonl")
    check.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, as YAML")
    check.add_argument("--network", type=Path, metavar="FILE", help="a network document, where it needs one")
    check.add_argument("--timeout", type=float, default=TIMEOUT, metavar="S", help=f"longest trial ({TIMEOUT:g})")
    check.set_defaults(command=_check)

    packing = command(commands, "pack", "make a package: the same bytes from the same files, on any machine", _PACK)
    packing.add_argument("folder", type=Path, metavar="FOLDER")
    packing.add_argument("--output", "-o", type=Path, metavar="FILE", help="a file or a folder (default: here)")
    packing.add_argument("--tag", default=PURE, help=f"what it runs on (default {PURE}); for compiled code only")
    packing.set_defaults(command=_pack)

    inspecting = command(commands, "inspect", "look into a package, without running anything of it", _INSPECT)
    inspecting.add_argument("file", type=Path, metavar="FILE")
    inspecting.set_defaults(command=_inspect)


def read_file(path: Path, most: int = MAXIMUM_PACKAGE) -> bytes:
    """
    Read a file as far as it may go.

    Raises
    ------
    UsageError
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
    if len(data) > most:
        raise UsageError(f"{path}: expected at most {most} bytes, found more")
    return data


def judged(path: Path) -> tuple[Package, bytes]:
    """
    Read a package that is right.

    Raises
    ------
    OperatorError
        With every problem found.
    """
    data = read_file(path)
    try:
        return read_package(path.name, data), data
    except PackageError as error:
        raise OperatorError(f"{path} is no package that a meter would take", error.problems) from error


def _new(options: argparse.Namespace) -> None:
    try:
        folder = write_skeleton(options.name, options.parent)
    except PackageError as error:
        raise UsageError("this cannot be made", error.problems) from error
    if options.json:
        say_json({"folder": str(folder)})
        return
    say(f"{folder} is a whole algorithm with its tests; next: cd {folder} && pytest")


def _check(options: argparse.Namespace) -> None:
    settings = _settings(options.set)
    for path in (*options.recording, *([options.network] if options.network else [])):
        if not path.is_file():
            raise UsageError(f"{path}: expected a file, found none")
    with tempfile.TemporaryDirectory() as temporary:
        try:
            if options.what.is_dir():
                folder, manifest = options.what, manifest_of(options.what)
            else:
                package, data = judged(options.what)
                folder, manifest = Path(temporary), package.manifest
                unpacked(data, folder)
                if describe(folder, manifest.entry) != manifest.info:
                    raise OperatorError(
                        f"{options.what}: what its class says is not what its manifest says; pack it anew"
                    )
            trial = try_algorithm(
                folder, manifest, settings, options.recording, options.network, timeout=options.timeout
            )
        except PackageError as error:
            raise OperatorError(f"{options.what} cannot be tried", error.problems) from error
    findings = judge_trial(trial, manifest)
    failed = [finding.rule for finding in findings if not finding.passed]
    verdict = f"{manifest.info.name} {manifest.info.version} is not ready: {', '.join(failed)}"
    if options.json:
        say_json({"passed": not failed, "findings": findings, "runs": trial.runs})
        if failed:
            raise Answered(verdict)
        return
    _tell(manifest, trial, findings)
    if failed:
        raise OperatorError(verdict)


def _tell(manifest: Manifest, trial: Trial, findings: list[Finding]) -> None:
    say(f"{manifest.info.name} {manifest.info.version}, {manifest.entry}")
    for finding in findings:
        say(f"  {'passed' if finding.passed else 'FAILED'}  {finding.rule}: {finding.detail}")
    if trial.runs:
        say(f"  {'run':<24} {'records':>8} {'median':>10} {'99 %':>10} {'slowest':>10} {'memory':>10}  results")
    for run in trial.runs:
        times = " ".join(f"{1e3 * value:>7.3g} ms" for value in (run.median, run.late, run.slowest))
        results = ", ".join(f"{count} {kind}" for kind, count in sorted(run.results.items())) or "none"
        say(f"  {run.name[:24]:<24} {run.records:>8} {times} {run.memory / 2**20:>6.3g} MiB  {results}")


def _settings(edits: list[str]) -> dict[str, Any]:
    settings = {}
    for edit in edits:
        name, equals, value = edit.partition("=")
        try:
            settings[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            equals = ""
        if not equals or not name:
            raise UsageError(f"expected NAME=VALUE such as band=0.2, found {shortened(edit)}")
    return settings


def _pack(options: argparse.Namespace) -> None:
    try:
        package, data = pack(options.folder, options.tag)
    except PackageError as error:
        raise OperatorError(f"{options.folder} cannot be packed", error.problems) from error
    target = options.output or Path()
    if target.is_dir():
        target /= package.file_name
    elif target.name != package.file_name:
        raise UsageError(f"a package's name tells what it is: name it {package.file_name}, or give a folder")
    try:
        target.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{target}: expected a file that can be written, found: {error.strerror}") from error
    if options.json:
        say_json({"file": str(target), "sha256": package.sha256, "length": package.length})
        return
    say(f"{target}: {package.length} bytes, SHA-256 {package.sha256}")


def _inspect(options: argparse.Namespace) -> None:
    package, _ = judged(options.file)
    if options.json:
        say_json(package)
        return
    manifest, info = package.manifest, package.manifest.info
    limits = manifest.limits
    tick = f", a tick every {info.tick_interval:g} s" if info.tick_interval else ""
    allowed = (
        f"{limits.memory / 2**20:g} MiB, {limits.processor:g} of a core, {limits.records_per_second:g} records/s of "
        f"{limits.record_size} bytes, {limits.response:g} s without progress"
    )
    say(f"{info.name} {info.version}, release {manifest.release}: {info.summary}")
    rows = [
        ("package", f"{package.length} bytes, {len(package.files)} files, for {package.tag}"),
        ("sha256", package.sha256),
        ("interface", f"version {info.api_version}"),
        ("class", manifest.entry),
        ("consumes", ", ".join(info.consumes) or "nothing"),
        ("produces", ", ".join((*info.produces, *info.contents)) or "nothing"),
        ("network", "needed" if info.needs_network else "used where there is one" if info.uses_network else "not used"),
        ("time", f"{1e3 * info.time_budget:g} ms a call{tick}"),
        ("limits", allowed),
        ("runtime", ", ".join(manifest.runtime) or "nothing"),
        *(("vendored", f"{one.name} {one.version} in {one.path}, {one.sha256[:16]}") for one in manifest.vendored),
        *(("setting", f"{one.name}: {one.expectation()}{_default(one)}; {one.description}") for one in info.settings),
    ]
    for name, text in rows:
        say(f"  {name:<10} {text}")
    note("every rule of a package holds")


def _default(setting: Setting) -> str:
    return ", must be given" if setting.default is msgspec.UNSET else f", default {shortened(setting.default, 40)}"
