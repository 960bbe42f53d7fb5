"""
An algorithm's process: it loads the algorithm, confines itself, and then does nothing but call it.

Where it stands: forked by `fork_server`, started and watched by `workers`; reads samples from the ring that `sampling`
writes, takes and gives records over its channel. Here is its start; `algorithm_loop` is its life.

Rules:

- What belongs to this machine is imported before the confinement, which closes the file system. A package that was
  sent to it is imported after: nothing of it runs, not even its first line, before every layer holds.
- Settings, network and samples are seen only after the confinement.
- An algorithm that raises, returns what it did not declare, or runs out of memory ends its process with one sentence
  that says what and where (`last_words`).
"""

import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from agent.processes import ring, sandbox
from agent.processes.algorithm_calls import AlgorithmCalls
from agent.processes.algorithm_loop import AlgorithmLoop
from agent.processes.algorithm_messages import (
    AlgorithmFailed,
    AlgorithmRefusal,
    AlgorithmSpec,
    AlgorithmStarted,
    StartAlgorithm,
    ToAlgorithm,
)
from agent.processes.channel import Channel, ChannelError
from agent.processes.last_words import TRACEBACK, failure
from agent.processes.loading import HERE, load_algorithm, load_libraries
from agent.processes.protocol import CONTROL_SIZE
from agent.processes.ring_memory import SealedMemory
from agent.processes.usage import Usage
from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import ProblemsError
from algorithms.api.network import NetworkModel

_BACKGROUND = 10


def main(sock: socket.socket) -> int:
    """Run one algorithm until the agent says stop, or goes."""
    channel = Channel(sock, ToAlgorithm, CONTROL_SIZE)
    try:
        received = channel.receive(None)
        if received is None or not isinstance(received[0], StartAlgorithm):
            return 70
        return _start(channel, *received)
    except ChannelError:
        return 0


def _start(channel: Channel, start: StartAlgorithm, fds: list[int]) -> int:
    spec = start.spec
    try:
        if spec.folder:
            algorithm_class, usage, isolation = _confined_first(spec, start.user)
        else:
            algorithm_class, usage, isolation = _loaded_first(spec, start.user)
        needs_network = algorithm_class.info.needs_network
        works_with_one = needs_network or algorithm_class.info.uses_network
        read_network = _network_reader() if works_with_one and spec.network is not None else None
    except (ImportError, TypeError, AttributeError) as error:
        channel.send(AlgorithmFailed(str(error), traceback.format_exc(limit=-8)[-TRACEBACK:]))
        return 70
    except ChannelError:
        raise
    except BaseException as error:  # noqa: BLE001 - someone else's code; said in one sentence
        channel.send(failure(error))
        return 70
    try:
        calls = AlgorithmCalls(algorithm_class, spec.settings)
        reader = ring.RingReader(SealedMemory.open(fds[0]), calls.info.history) if start.samples else None
        wake = fds[1] if start.samples else -1
        network = read_network(spec.network, spec.switches) if read_network is not None else None
        calls.start(_context(spec, reader, network), spec.restored)
    except ProblemsError as error:
        channel.send(AlgorithmRefusal(error.problems, needs_network))
        return 78
    except ChannelError:
        raise
    except BaseException as error:  # noqa: BLE001 - someone else's code; said in one sentence
        channel.send(failure(error))
        return 70
    channel.send(AlgorithmStarted(calls.info, isolation, calls.note))
    if reader is not None and not calls.wants_samples:  # they told it the channels; it is not woken for samples
        reader.close()
        os.close(wake)
        reader, wake = None, -1
    return AlgorithmLoop(channel, spec, calls, usage, (reader, wake)).run()


def rehearse(channel: Channel, start: StartAlgorithm, fds: list[int], ending: Callable[[], None]) -> None:
    """
    Live as a started algorithm does, in a process that goes on afterwards: neither confined nor silenced.

    Parameters
    ----------
    channel : Channel
    start : StartAlgorithm
    fds : list of int
        The ring's memory, and the reading end of a wake-up pipe.
    ending : callable
        Has the agent's side say stop.
    """
    algorithm_class = load_algorithm(start.spec.entry)
    _folders_of(algorithm_class)
    usage = Usage()
    calls = AlgorithmCalls(algorithm_class, start.spec.settings)
    reader = ring.RingReader(SealedMemory.open(fds[0]), calls.info.history)
    calls.start(_context(start.spec, reader, None), start.spec.restored)
    channel.send(AlgorithmStarted(calls.info, {}, calls.note))
    host = AlgorithmLoop(channel, start.spec, calls, usage, (reader, fds[1]))
    host.turn()
    ending()
    host.run()
    host.close()
    usage.close()


def _loaded_first(spec: AlgorithmSpec, user: int) -> tuple[type[Algorithm], Usage, dict[str, bool]]:
    """Load what came with this machine, then put the confinement in force."""
    algorithm_class = load_algorithm(spec.entry)
    if spec.network is not None and (algorithm_class.info.needs_network or algorithm_class.info.uses_network):
        _network_reader()
    usage = _prepared(spec)
    isolation = sandbox.confine(spec.limits, user, _folders_of(algorithm_class))
    return algorithm_class, usage, isolation


def _confined_first(spec: AlgorithmSpec, user: int) -> tuple[type[Algorithm], Usage, dict[str, bool]]:
    """Put the confinement in force, then load what was sent to this machine."""
    load_libraries(spec.folder)
    if spec.network is not None:
        _network_reader()
    try:
        os.chdir(spec.folder)
    except OSError as error:
        raise ImportError(f"{spec.folder}: expected the folder of a package, found: {error.strerror}") from error
    usage = _prepared(spec)
    isolation = sandbox.confine(spec.limits, user, (spec.folder,), goes_on_importing=True)
    return load_algorithm(spec.entry, HERE), usage, isolation


def _prepared(spec: AlgorithmSpec) -> Usage:
    usage = Usage()
    _silence()
    if spec.background:
        os.nice(_BACKGROUND)
    return usage


def _network_reader() -> Any:
    from algorithms.api import network_reader  # noqa: PLC0415 - only those with a network pay for it

    def read(document: bytes, switches: bytes | None) -> NetworkModel:
        model = network_reader.parse(document)
        return model if switches is None else model.with_switches(network_reader.parse_states(switches))

    return read


def _context(spec: AlgorithmSpec, reader: ring.RingReader | None, network: Any) -> Context:
    return Context(
        device=spec.device,
        terminal=spec.terminal,
        nominal_frequency=spec.nominal_frequency,
        nominal_voltage=spec.nominal_voltage,
        channels=reader.layout.channels if reader else (),
        sample_rate=reader.layout.sample_rate if reader else 0.0,
        synchronised=spec.synchronised,
        network=network,
    )


def _silence() -> None:
    """Close the way to the agent's terminal and journal: an algorithm speaks in records."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)


def _folders_of(algorithm_class: type) -> Sequence[str]:
    """Find the folders of the algorithm's own package, for what it imports late."""
    module = sys.modules[algorithm_class.__module__]
    package = module.__name__.rpartition(".")[0]
    return tuple(getattr(sys.modules.get(package), "__path__", ())) if package else ()
