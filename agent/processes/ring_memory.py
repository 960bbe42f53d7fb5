"""
The memory a ring of samples lives in: sealed on Linux, plain shared memory elsewhere.

Where it stands: made by the sampler, opened by algorithms; `ring` gives it its shape.

Rules: sealed memory can be written through the mapping that its maker had before sealing, and through no other, by
nobody. That binds a restarted sampler as well: it makes new memory, and the agent hands that out.
"""

import mmap
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing import shared_memory

# From the kernel's uapi/linux/fcntl.h; the standard library lacks the last.
_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4  # no more seals, no shrinking, no growing
_FUTURE_WRITE = 0x10


class RingMemory(ABC):
    """Shared memory that holds a ring: `create` makes one to write, `open` finds one to read."""

    buffer: memoryview

    @abstractmethod
    def close(self) -> None:
        """Let go of this process's view."""


class SealedMemory(RingMemory):
    """
    A sealed memfd (Linux).

    Attributes
    ----------
    fd : int
        What readers are handed; -1 on the readers' side.
    sealed : bool
        Whether the kernel keeps readers from writing.
    """

    def __init__(self, mapping: mmap.mmap, fd: int, *, sealed: bool) -> None:
        self._mapping = mapping
        self.buffer = memoryview(mapping)
        self.fd = fd
        self.sealed = sealed

    @classmethod
    def create(cls, size: int) -> "SealedMemory":
        """Make memory of `size` bytes that only this mapping can ever write."""
        import fcntl  # noqa: PLC0415 - absent where this class is not used

        fd = os.memfd_create("tresma-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        mapping = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        try:
            fcntl.fcntl(fd, _ADD_SEALS, _SEALS | _FUTURE_WRITE)
            sealed = True
        except OSError:  # before Linux 5.1
            fcntl.fcntl(fd, _ADD_SEALS, _SEALS)
            sealed = False
        return cls(mapping, fd, sealed=sealed)

    @classmethod
    def open(cls, fd: int) -> "SealedMemory":
        """Map the memory behind `fd` for reading, and close `fd`."""
        try:
            size = os.fstat(fd).st_size
            return cls(mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ), -1, sealed=True)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of this process's view; blocks already read stay valid."""
        self.buffer.release()
        self._mapping.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class NamedMemory(RingMemory):
    """
    Memory found by name, for systems without memfd such as a laboratory's Windows laptop.

    It is **not** sealed: every process of the same user can write it, and nothing confines algorithms there.
    """

    sealed = False

    def __init__(self, memory: "shared_memory.SharedMemory", *, owner: bool) -> None:
        self._memory = memory
        self._owner = owner
        whole = memoryview(memory.buf or b"")
        self.buffer = whole if owner else whole.toreadonly()

    @property
    def name(self) -> str:
        """What readers are told."""
        return self._memory.name

    @classmethod
    def create(cls, size: int) -> "NamedMemory":
        """Make memory of `size` bytes."""
        from multiprocessing import shared_memory  # noqa: PLC0415 - where there is memfd, nobody pays for it

        return cls(shared_memory.SharedMemory(create=True, size=size), owner=True)

    @classmethod
    def open(cls, name: str) -> "NamedMemory":
        """Find the memory called `name`."""
        from multiprocessing import shared_memory  # noqa: PLC0415 - as above

        return cls(shared_memory.SharedMemory(name), owner=False)

    def close(self) -> None:
        """Let go of this process's view; the owner also removes the memory."""
        self.buffer.release()
        self._memory.close()
        if self._owner:
            self._memory.unlink()
