"""The seccomp filter, run by a small interpreter of its instructions: every architecture is judged on any machine."""

import os

import pytest

from agent.processes.syscall_filter import program

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {  # from the kernel's tables
    "read": (0, 63),
    "recvmsg": (47, 212),
    "mmap": (9, 222),
    "exit_group": (231, 94),
    "openat": (257, 56),
    "fcntl": (72, 25),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "socket": (41, 198),
    "connect": (42, 203),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, None),
    "execve": (59, 221),
    "kill": (62, 129),
    "ptrace": (101, 117),
    "mount": (165, 40),
    "bpf": (321, 280),
    "unlinkat": (263, 35),
    "setresuid": (117, 147),
    "memfd_create": (319, 279),
    "process_vm_readv": (310, 270),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
}
PID = 4711


def verdict(machine: str, call: str, *arguments: int, audit: int | None = None, extra: int = 0) -> int | None:
    """What the filter says; None where the architecture has no such call."""
    number = NUMBERS[call][list(AUDIT).index(machine)]
    if number is None:
        return None
    padded = [*arguments, *[0] * (6 - len(arguments))]
    words = {0: number + extra, 4: AUDIT[machine] if audit is None else audit}
    for index, argument in enumerate(padded):
        words[16 + 8 * index] = argument & 0xFFFFFFFF
        words[20 + 8 * index] = argument >> 32
    instructions = program(machine, PID)
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, constant = instructions[at]
        at += 1
        if code == 0x20:
            accumulator = words[constant]
        elif code == 0x06:
            return constant
        else:
            true = {
                0x15: accumulator == constant,
                0x35: accumulator >= constant,
                0x45: bool(accumulator & constant),
            }[code]
            at += if_true if true else if_false


@pytest.mark.parametrize("machine", list(AUDIT))
def test_reading_waiting_and_ending_are_allowed(machine):
    for call in ("read", "recvmsg", "mmap", "exit_group"):
        assert verdict(machine, call) == ALLOW


@pytest.mark.parametrize("machine", list(AUDIT))
def test_everything_that_reaches_out_is_refused(machine):
    allowed = {"read", "recvmsg", "mmap", "exit_group", "openat", "fcntl", "tgkill", "prlimit64", "clone3"}
    for call in NUMBERS.keys() - allowed:
        assert verdict(machine, call) in (EPERM, None), call
    assert verdict(machine, "clone3") == ENOSYS  # glibc then tries clone, which is refused


@pytest.mark.parametrize("machine", list(AUDIT))
def test_files_are_opened_for_reading_only(machine):
    assert verdict(machine, "openat", 0, 0, os.O_RDONLY | os.O_CLOEXEC) == ALLOW
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_CREAT, os.O_RDONLY | os.O_TRUNC):
        assert verdict(machine, "openat", 0, 0, flags) == EPERM


@pytest.mark.parametrize("machine", list(AUDIT))
def test_arguments_decide_where_a_call_is_both_useful_and_harmful(machine):
    assert verdict(machine, "tgkill", PID, PID, 6) == ALLOW
    assert verdict(machine, "tgkill", PID + 1, PID + 1, 9) == EPERM
    assert verdict(machine, "fcntl", 3, 1) == ALLOW
    assert verdict(machine, "fcntl", 3, 4) == EPERM  # F_SETFL: the flags of a shared file
    assert verdict(machine, "prlimit64", 0, 7, 0) == ALLOW
    assert verdict(machine, "prlimit64", 0, 7, 0x7FFF_0000_1000) == EPERM
    assert verdict(machine, "prlimit64", 0, 7, 1 << 32) == EPERM


def test_another_table_of_numbers_is_no_way_round():
    assert verdict("x86_64", "read", audit=0x40000003) == KILL  # 32 bit
    assert verdict("x86_64", "read", extra=0x40000000) == EPERM  # x32


def test_an_unknown_architecture_has_no_filter():
    assert program("riscv64", PID) is None
