"""
The system calls an algorithm's process may make, as a seccomp filter assembled here.

Where it stands: installed by `sandbox` in the child, last of all layers. One small filter everywhere, rather than a
library on some machines and nothing on others, so that what is tested is what runs.

Rules:

- What is not listed is refused with EPERM: an algorithm that tries gets an ordinary `OSError`, not a mystery.
- Reading files is left to Landlock and file permissions; opening one for writing, or creating one, is refused here.
- No sockets, no new processes or threads, no signals to others, no tracing, no change of identity or limits.
- Numbers are those of the kernel's tables for each architecture; calls an architecture lacks are None there.
"""

import ctypes
import os
import platform
import struct
import sys
from functools import cache

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column below, AUDIT_ARCH_*

# By name, the numbers in the columns above.
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # messages and wake-ups on descriptors already there
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "close": (3, 57),
    "lseek": (8, 62),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "dup": (32, 23),
    # memory
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "membarrier": (324, 283),
    # looking: what may be seen is Landlock's business
    "fstat": (5, 80),
    "stat": (4, None),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    # time, and waiting in this process
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "sched_yield": (24, 124),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    # what it is and uses
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getrusage": (98, 165),
    "times": (100, 153),
    "getrlimit": (97, 163),
    "sched_getaffinity": (204, 123),
    "getcpu": (309, 168),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrandom": (318, 278),
    # signals to itself, and its end
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}

_OPEN, _OPENAT, _TGKILL, _FCNTL, _PRLIMIT = (2, None), (257, 56), (234, 131), (72, 25), (302, 261)
_CLONE3 = 435
_SECCOMP = {"x86_64": 317, "aarch64": 277}

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FCNTL_READS = (1, 3)  # F_GETFD, F_GETFL
_DUPFD_CLOEXEC = 1030

# Classic BPF, from the kernel's uapi/linux/bpf_common.h and seccomp.h.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE = 0x00050000
_EPERM, _ENOSYS = 1, 38
_NR, _ARCH, _ARG0 = 0, 4, 16  # offsets in struct seccomp_data

_ANY_PID = 0xFFFFFFFF  # stands for a process's number; no process has it

_Instruction = tuple[int, int, int, int]


def program(machine: str, pid: int) -> list[_Instruction] | None:
    """
    Assemble the filter: instructions (code, jump if true, jump if false, constant).

    Parameters
    ----------
    machine : str
        As `platform.machine` names it.
    pid : int
        The only process that may be signalled.

    Returns
    -------
    list or None
        None where the architecture's numbers are not known here.
    """
    if machine not in _ARCHITECTURES or sys.maxsize < 2**32:
        return None
    column, audit = _ARCHITECTURES[machine]
    out: list[_Instruction] = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NR)]
    if machine == "x86_64":  # the x32 numbers are another table
        out += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _REFUSE | _EPERM)]
    for numbers in _ALLOWED.values():
        number = numbers[column]
        if number is not None:
            out += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for numbers, argument in ((_OPEN, 1), (_OPENAT, 2)):
        number = numbers[column]
        if number is not None:
            refuse_writing = [(_ANY_BIT, 0, 1, _WRITING), (_RETURN, 0, 0, _REFUSE | _EPERM), (_RETURN, 0, 0, _ALLOW)]
            out += _when(number, [(_LOAD, 0, 0, _ARG0 + 8 * argument), *refuse_writing])
    number = _TGKILL[column]
    if number is not None:  # abort()
        out += _when(number, _only(0, (pid,)))
    number = _FCNTL[column]
    if number is not None:
        out += _when(number, _only(1, (*_FCNTL_READS, _DUPFD_CLOEXEC)))
    number = _PRLIMIT[column]
    if number is not None:  # reading limits: no new value (both halves of the pointer are zero)
        low, high = _ARG0 + 16, _ARG0 + 20
        out += _when(
            number,
            [
                (_LOAD, 0, 0, low),
                (_EQUAL, 0, 3, 0),
                (_LOAD, 0, 0, high),
                (_EQUAL, 0, 1, 0),
                (_RETURN, 0, 0, _ALLOW),
                (_RETURN, 0, 0, _REFUSE | _EPERM),
            ],
        )
    # glibc falls back to clone, which is refused plainly.
    out += _when(_CLONE3, [(_RETURN, 0, 0, _REFUSE | _ENOSYS)])
    out.append((_RETURN, 0, 0, _REFUSE | _EPERM))
    return out


def _when(number: int, body: list[_Instruction]) -> list[_Instruction]:
    """Run `body`, which returns, for one call only."""
    return [(_EQUAL, 0, len(body), number), *body]


def _only(argument: int, values: tuple[int, ...]) -> list[_Instruction]:
    body: list[_Instruction] = [(_LOAD, 0, 0, _ARG0 + 8 * argument)]
    for value in values:
        body += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*body, (_RETURN, 0, 0, _REFUSE | _EPERM)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


@cache
def assembled() -> tuple[str, tuple[bytes, ...]]:
    """Assemble the filter for this machine: its architecture, and the code around where the process's number goes."""
    machine = platform.machine()
    codes: list[bytes] = [b""]
    for code, yes, no, constant in program(machine, _ANY_PID) or ():
        if constant == _ANY_PID:
            codes[-1] += struct.pack("=HBB", code, yes, no)
            codes.append(b"")
        else:
            codes[-1] += struct.pack("=HBBI", code, yes, no, constant)
    return machine, tuple(codes)


def described() -> tuple[str, ctypes.Structure | None]:
    """Write the filter for this process as the kernel reads it; None where the architecture is not known here."""
    machine, codes = assembled()
    code = struct.pack("=I", os.getpid()).join(codes)
    return machine, _Program(len(code) // 8, code) if code else None


def install(libc: ctypes.CDLL) -> bool:
    """Put the filter in force for this process, for good; say whether the kernel took it. Needs no_new_privs."""
    machine, filtering = described()
    if filtering is None:
        return False
    set_mode_filter = 1
    result: int = libc.syscall(
        ctypes.c_long(_SECCOMP[machine]), ctypes.c_long(set_mode_filter), ctypes.c_long(0), ctypes.byref(filtering)
    )
    return result == 0
