"""
Files that survive a power cut: written whole, made durable, then put in place.

A reader sees the old content or the new, never a part. A name counts only once its folder is durable too.
"""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; systems that cannot open a folder do so by themselves."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """
    Replace `path` by `content`.

    Parameters
    ----------
    path : pathlib.Path
    content : bytes
    mode : int
        Permissions of a new file; the agent's own files are nobody else's business.

    Raises
    ------
    OSError
        When the content cannot be made durable; `path` is unchanged then.
    """
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def move_aside(path: Path, suffix: str = ".damaged") -> Path:
    """Put an unusable file out of the way; one that was there before from an earlier time is replaced."""
    aside = path.with_name(path.name + suffix)
    path.replace(aside)
    sync_folder(path.parent)
    return aside


def hand_to_owner(folder: Path) -> None:
    """
    Give what root wrote into a folder of somebody else's to its owner: a service could not use it otherwise.

    Nothing happens where this is not root, or the folder is root's own. Links are not followed, nor replaced folders.

    Parameters
    ----------
    folder : pathlib.Path
    """
    if os.name == "nt" or os.geteuid() != 0 or not folder.is_dir():
        return
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    for _, folders, files, descriptor in os.fwalk(folder):
        for name in (*folders, *files):
            if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid == 0:
                os.chown(name, owner.st_uid, owner.st_gid, dir_fd=descriptor, follow_symlinks=False)
