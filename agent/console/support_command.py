"""``tresma-agent support-bundle``: what helps to find out what is wrong, in one file."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from agent.errors import AgentError
from agent.support.bundle import Bundle
from agent.support.gathering import Meter, gather, meter_of

_remedy = "name another with -o FILE, or write it to another machine: ssh METER sudo tresma-agent support-bundle -o -"


def run(options: argparse.Namespace) -> int:
    """Collect; returns the exit status."""
    meter = meter_of(options.config, os.environ, options.state_dir)
    streams = options.output == "-"

    def say(line: str) -> None:
        if not options.quiet or line.startswith("not in it"):
            sys.stderr.write(f"{line}\n")

    for problem in meter.trouble:
        say(f"not in it: the agent's own lines cannot be used: {meter.scrubber.text(problem)}")
    if streams and sys.stdout.isatty():
        raise AgentError("expected a file or a pipe to write a bundle to, found a terminal; add > bundle.tar.gz")
    if streams:
        bundle, where = _written(meter, sys.stdout.buffer, say), "standard output"
    else:
        target = Path(options.output or f"tresma-support-{meter.device or 'unknown'}-{_now()}.tar.gz")
        bundle, where = _into_file(meter, target, say), str(target)
    told = sys.stderr if streams else sys.stdout
    if options.json:
        told.write(
            msgspec.json.encode({"file": where, "files": bundle.files, "missing": bundle.missing}).decode() + "\n"
        )
    else:
        told.write(f"{where}: {len(bundle.files)} files; could not be collected: {len(bundle.missing)}\n")
    return 0


def _written(meter: Meter, out: IO[bytes], say: Callable[[str], None]) -> Bundle:
    try:
        bundle = gather(meter, out, say)
        out.flush()
    except OSError as error:
        with suppress(OSError):  # nobody reads any more: nothing is left to be flushed at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        raise AgentError(f"expected somebody to read the bundle to its end, found: {error.strerror}") from error
    return bundle


def _into_file(meter: Meter, target: Path, say: Callable[[str], None]) -> Bundle:
    """Write to a file that is there whole or not at all."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                bundle = gather(meter, file, say)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        expected = f"a file {target} that can be written"
        raise AgentError(f"expected {expected}, found: {error.strerror or error}; {_remedy}") from error
    return bundle


def _now() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
