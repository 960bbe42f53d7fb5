"""
Whose card a medium is already: what its folder says, where a card was written and never started.

Where it stands: asked by `cards` before a tray's next card is written, since nothing else surely tells whether somebody
changed the card in a reader meanwhile. A meter takes these files off its card at its first start, so that a card which
was in service says nothing here. Only reads; a medium that cannot be read as a card is nobody's.
"""

import os
from functools import partial
from pathlib import Path

from device_catalog.contract.card import CARD, FOLDER, PARTITION
from device_catalog.contract.card_files import read_card
from device_catalog.contract.validation import DocumentError
from device_catalog.operator.errors import OperatorError
from device_catalog.operator.flashing.contents import read_from
from device_catalog.operator.flashing.partitions import NoPartitionError, find
from device_catalog.operator.flashing.targets import Disk


def holder(disk: Disk) -> str:
    """Name the meter that a medium was written for; empty where it was for none, or has been in one."""
    path = Path(disk.path)
    if not path.exists() or not disk.size:
        return ""
    try:
        with path.open("rb", buffering=0) as file:
            partition = find(partial(_read, file.fileno()), disk.size, PARTITION)
        content = read_from(path, partition.start, f"{FOLDER}/{CARD}")
        return read_card(content).device if content else ""
    except (OSError, NoPartitionError, DocumentError, OperatorError):
        return ""


def _read(descriptor: int, offset: int, length: int) -> bytes:
    return os.pread(descriptor, length, offset)
