"""
The folder on a card that tells a meter who it is: made, judged, and put into a copy of the image's FAT partition.

Nothing is mounted, so no privilege is needed: mtools writes into the copy, which is a file without a name, and the copy
is written to the card in the place of the image's own partition. What is secret is thereby on no other disk.
"""

import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple, Self, cast

from algorithms.api.errors import shortened
from device_catalog.contract.card import (
    AUTHORITIES,
    CARD,
    FOLDER,
    MAXIMUM_AUTHORITIES,
    NETWORK,
    Card,
    NetworkSettings,
    Page,
)
from device_catalog.contract.card_files import problems, read_card, write
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.flashing.image import Image
from device_catalog.operator.flashing.unpacking import BLOCK

PIN_DIGITS = 8
PATIENCE = 60.0
"""How long mtools may take for one file [s]."""


class Contents(NamedTuple):
    """
    What one card says.

    Attributes
    ----------
    card : Card
    files : mapping of str to bytes
        By name, as they stand in the folder.
    """

    card: Card
    files: Mapping[str, bytes]


def contents(card: Card, network: NetworkSettings | bytes = b"", authorities: bytes = b"") -> Contents:
    """
    Put together what a card says.

    Parameters
    ----------
    card : Card
        Without a PIN of the commissioning page, it is given one.
    network : NetworkSettings or bytes
        A file is taken as somebody wrote it; nothing for Ethernet with DHCP.
    authorities : bytes
        PEM; nothing where the token or the system knows them.

    Raises
    ------
    UsageError
        With every problem of every file.
    """
    if not card.page.pin:
        page = Page(new_pin(), card.page.interfaces, card.page.port)
        card = Card(**{**{name: getattr(card, name) for name in card.__struct_fields__}, "page": page})
    files = {CARD: write(card), NETWORK: network if isinstance(network, bytes) else write(network)}
    files[NETWORK] = files[NETWORK] or write(NetworkSettings())
    if authorities:
        files[AUTHORITIES] = authorities
    found = problems(files, with_token=True)
    if found:
        raise UsageError(f"what {card.device or 'the meter'} would be told cannot be used", found)
    return Contents(card, files)


def new_pin() -> str:
    """Make a PIN that cannot be guessed in a few tries."""
    return "".join(secrets.choice("0123456789") for _ in range(PIN_DIGITS))


def read_files(card: Path, network: Path | None, authorities: Path | None) -> Contents:
    """
    Take what somebody wrote: ``card.yaml``, and what stands beside it where nothing else is named.

    Raises
    ------
    UsageError
    """
    beside_network, beside_authorities = card.with_name(NETWORK), card.with_name(AUTHORITIES)
    files = {CARD: read_limited(card)}
    if network is not None or beside_network.exists():
        files[NETWORK] = read_limited(network or beside_network)
    if authorities is not None or beside_authorities.exists():
        files[AUTHORITIES] = read_limited(authorities or beside_authorities)
    found = problems(files, with_token=True)
    if found:
        raise UsageError(f"{card}: what the meter would be told cannot be used", found)
    return contents(read_card(files[CARD]), files.get(NETWORK, b""), files.get(AUTHORITIES, b""))


def read_limited(path: Path) -> bytes:
    """
    Read a small file.

    Raises
    ------
    UsageError
    """
    try:
        with path.open("rb") as file:
            return file.read(MAXIMUM_AUTHORITIES + 1)
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, found: {error.strerror}") from error


class Personal:
    """
    An image with a FAT partition of one meter's own, as a context manager.

    Parameters
    ----------
    image : Image
    inside : Contents or None
        None leaves the partition as it is.

    Attributes
    ----------
    size : int
        [bytes]
    """

    def __init__(self, image: Image, inside: Contents | None) -> None:
        self.size = image.size
        self._image = image
        self._part: IO[bytes] | None = None
        if inside is not None:
            self._part = image.copy(image.firmware)
            try:
                put(self._part, inside.files)
            except BaseException:
                self._part.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._part is not None:
            self._part.close()

    def read(self, offset: int, length: int = BLOCK) -> bytes:
        """Read from a place; shorter at the end."""
        block = self._image.read(offset, length)
        start, size = self._image.firmware
        first, last = max(offset, start), min(offset + len(block), start + size)
        if self._part is None or first >= last:
            return block
        own = os.pread(self._part.fileno(), last - first, first - start)
        return block[: first - offset] + own + block[last - offset :]


def put(partition: IO[bytes], files: Mapping[str, bytes]) -> None:
    """
    Put files into the folder of a FAT partition, and read them back.

    Parameters
    ----------
    partition : file
        Open for reading and writing.
    files : mapping of str to bytes

    Raises
    ------
    OperatorError
    """
    place = f"/proc/{os.getpid()}/fd/{partition.fileno()}"
    _mtools("mmd", "-D", "s", "-i", place, f"::{FOLDER}", may_fail=True)  # the image may have it already
    for name, content in files.items():
        _mtools("mcopy", "-o", "-i", place, "-", f"::{FOLDER}/{name}", content=content)
        if _mtools("mtype", "-i", place, f"::{FOLDER}/{name}") != content:
            raise OperatorError(f"{name} cannot be read back from the image's FAT partition; is the image damaged?")


def read_from(medium: Path, start: int, name: str) -> bytes:
    """
    Read the beginning of a file of the FAT partition that begins at `start` [bytes] of a disk or an image.

    Nobody knows what is on the medium: no more is read than a card's file may have, nor for longer than `PATIENCE`.
    Empty where there is no such file.

    Raises
    ------
    UsageError
        Where mtools are missing.
    """
    command, environment = _command("mtype", "-i", f"{medium}@@{start}", f"::{name}")
    with subprocess.Popen(  # noqa: S603 - mtools, with words of ours
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        output = cast("IO[bytes]", process.stdout)
        late = threading.Timer(PATIENCE, process.kill)
        late.start()
        try:
            return output.read(MAXIMUM_AUTHORITIES + 1)
        finally:
            late.cancel()
            process.kill()


def _command(program: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    if shutil.which(program) is None:
        raise UsageError(f"expected mtools, which write FAT partitions, found no {program}; apt install mtools")
    return [program, *arguments], {
        **os.environ, "MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null", "LC_ALL": "C.UTF-8",
    }  # fmt: skip


def _mtools(program: str, *arguments: str, content: bytes = b"", may_fail: bool = False) -> bytes:
    command, environment = _command(program, *arguments)
    try:
        done = subprocess.run(  # noqa: S603 - mtools, with words of ours
            command, input=content, capture_output=True, timeout=PATIENCE, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise OperatorError(f"{program} did not end within {PATIENCE:g} s; is the image damaged?") from error
    if done.returncode and not may_fail:
        words = shortened(done.stderr.decode(errors="replace"), 200)
        raise OperatorError(f"the image's FAT partition cannot be written: {words or program}")
    return done.stdout
