"""
Runs a command with a small file system of its own over one folder: ``python small_disk.py FOLDER BYTES COMMAND ...``.

The mount is seen by the command alone and goes with it. Without root a user namespace lends the right to mount.
"""

import ctypes
import errno
import os
import sys
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18


def main() -> None:
    """Mount, then become the command."""
    folder, size, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS if user == 0 else CLONE_NEWNS | CLONE_NEWUSER
    _must(libc.unshare(flags), "unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0 and ctypes.get_errno() != errno.EINVAL:
        _must(-1, "mount private")  # EINVAL: the root is no mount of its own, as in a chroot, and shares nothing
    _must(libc.mount(b"none", folder.encode(), b"tmpfs", 0, f"size={size}".encode()), "mount tmpfs")
    os.execvp(command[0], command)


def _must(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
