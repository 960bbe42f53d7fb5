"""
What confines an algorithm's process: layers put in force by the process itself, before it sees settings or samples.

Where it stands: called by `algorithm_host` once everything is imported; `probe` tries in the same confinement what is
forbidden, because kernels differ and what was accepted is not yet what holds.

Layers, each independent of the others, in this order:

- ``limits``: memory, files, descriptors, processes, core dumps (setrlimit); first to go where the machine runs out of
  memory.
- ``user``: another user id, where the agent is root: no file, process or device of the agent's is its own.
- ``no-new-privileges``: nothing it could execute gains rights.
- ``landlock``: no file but Python's libraries for reading, no TCP, no signals outwards (as far as the kernel's
  version of Landlock goes).
- ``system-calls``: `syscall_filter`.

A kernel without a layer is no error: the layer is reported as absent, and the operator decides.

A package is imported after this (`algorithm_host`), so its process must still be able to read Python's libraries. Where
those stand in a folder that is closed to other users, as root's own Python does, and Landlock is there to say what may
be read, the process keeps the one capability that lets it through, CAP_DAC_READ_SEARCH, and no other.
"""

import ctypes
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

from agent.processes import syscall_filter
from agent.processes.libraries import libraries
from algorithms.api.manifest import Limits

_PR_SET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 1, 3, 8, 38
_CAPABILITIES, _READ_SEARCH = 0x20080522, 1 << 2  # version of capset's layout, CAP_DAC_READ_SEARCH
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture

NOBODY = 65534
FIRST_USER = 0x70000000
"""Users of algorithms: beyond every range that distributions, systemd and containers hand out."""

_OPEN_FILES = 64


@cache
def libc() -> ctypes.CDLL:
    """Return the C library already loaded."""
    return ctypes.CDLL(None, use_errno=True)


def prepare() -> None:
    """Do once, before processes are forked, what would be the same in each of them, in memory of its own."""
    library = libc()
    for name in ("syscall", "prctl", "capset"):
        getattr(library, name)
    syscall_filter.assembled()
    libraries()


def rehearse() -> None:
    """Do what of the confinement changes nothing for this process; see `rehearsal`."""
    library = libc()
    ruleset = _landlock_rules(library, libraries())
    if ruleset >= 0:
        os.close(ruleset)
    _data_size()
    _prctl(library, _PR_GET_DUMPABLE, 0)
    syscall_filter.described()


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent goes; a change of user takes that back."""
    if sys.platform == "linux":
        _prctl(libc(), _PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(library: ctypes.CDLL, option: int, value: int) -> bool:
    zero = ctypes.c_ulong(0)
    result: int = library.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)
    return result == 0


def confine(
    limits: Limits, user: int, readable: Sequence[str] = (), *, goes_on_importing: bool = False
) -> dict[str, bool]:
    """
    Put every layer in force for this process, for good.

    Parameters
    ----------
    limits : Limits
    user : int
        User id to change to; 0 for none.
    readable : sequence of str
        Folders that may be read besides Python's libraries: the algorithm's own package.
    goes_on_importing : bool
        Whether Python's libraries are needed afterwards, wherever they are.

    Returns
    -------
    dict
        Each layer with whether the kernel accepted it.
    """
    library = libc()
    ruleset = _landlock_rules(library, [*libraries(), *readable])  # while the folders can be opened
    accepted = {"limits": _limit(limits)}
    reaches = goes_on_importing and ruleset >= 0 and any(map(_is_closed, libraries()))
    accepted["user"] = bool(user) and _change_user(library, user, reaches=reaches)
    die_with_parent()
    accepted["no-new-privileges"] = _prctl(library, _PR_SET_NO_NEW_PRIVS, 1)
    accepted["landlock"] = ruleset >= 0 and _landlock(library, ruleset)
    if accepted["user"] and reaches and not accepted["landlock"]:
        _set_capabilities(library, 0)
    accepted["system-calls"] = accepted["no-new-privileges"] and syscall_filter.install(library)
    return accepted


def _limit(limits: Limits) -> bool:
    data = _data_size() + limits.memory
    wanted = {
        resource.RLIMIT_DATA: data,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    accepted = _first_to_go()
    for limit, value in wanted.items():
        try:
            resource.setrlimit(limit, (value, value))
        except (OSError, ValueError):
            accepted = False
    return accepted


def _first_to_go() -> bool:
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(descriptor, b"1000")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _data_size() -> int:
    """Return what the process already counts against RLIMIT_DATA [bytes]."""
    try:
        # Files without buffers: a process that is to be small would keep the memory of each.
        descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(descriptor, 256).split()[5]) * resource.getpagesize()
        finally:
            os.close(descriptor)
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _change_user(library: ctypes.CDLL, user: int, *, reaches: bool) -> bool:
    if os.geteuid() != 0:
        return False
    reaches = reaches and _prctl(library, _PR_SET_KEEPCAPS, 1)
    for candidate in (user, NOBODY):  # a container may map few users
        with suppress(OSError):
            os.setgroups([])
            os.setresgid(candidate, candidate, candidate)
            os.setresuid(candidate, candidate, candidate)
            if reaches and not _set_capabilities(library, _READ_SEARCH):
                _set_capabilities(library, 0)
            return True
    return False


def _set_capabilities(library: ctypes.CDLL, kept: int) -> bool:
    """Keep these capabilities and no others; the process must not go on with more, so it ends where it would."""
    header = struct.pack("=Ii", _CAPABILITIES, 0)
    data = struct.pack("=6I", kept, kept, 0, 0, 0, 0)
    if library.capset(ctypes.c_char_p(header), ctypes.c_char_p(data)) == 0:
        return True
    if kept == 0:
        os._exit(70)
    return False


def _is_closed(folder: str) -> bool:
    """Tell whether a folder, or one above it, lets no other user pass."""
    path = os.path.realpath(folder)
    while True:
        with suppress(OSError):
            if not os.stat(path).st_mode & stat.S_IXOTH:  # noqa: PTH116 - pathlib is not worth its memory here
                return True
        above = os.path.dirname(path)  # noqa: PTH120 - as above
        if above == path:
            return False
        path = above


# Bits of struct landlock_ruleset_attr, from the kernel's uapi/linux/landlock.h, by the version that brought them.
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_TCP = 0b11
_SCOPES = 0b11  # abstract sockets, signals


def _landlock_rules(library: ctypes.CDLL, folders: Sequence[str]) -> int:
    """Return the descriptor of a ruleset that allows reading in `folders` and nothing else; -1 without Landlock."""
    version: int = library.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return -1
    files = 0
    for since, bits in _FILE_RIGHTS.items():
        files |= bits if version >= since else 0
    attributes = struct.pack("=QQQ", files, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset: int = library.syscall(
        ctypes.c_long(_CREATE_RULESET), ctypes.c_char_p(attributes), ctypes.c_size_t(size), ctypes.c_uint(0)
    )
    for folder in folders if ruleset >= 0 else ():
        try:
            beneath = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue  # not there: nothing to read
        rule = ctypes.c_char_p(struct.pack("=Qi", _READ_FILE | _READ_DIR, beneath))
        path_beneath = ctypes.c_int(1)
        library.syscall(ctypes.c_long(_ADD_RULE), ctypes.c_int(ruleset), path_beneath, rule, ctypes.c_uint(0))
        os.close(beneath)
    return ruleset


def _landlock(library: ctypes.CDLL, ruleset: int) -> bool:
    result: int = library.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)
    return result == 0
