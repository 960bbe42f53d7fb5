"""
Bubblewrap around an algorithm's process: nothing in sight but Python's libraries and the algorithm's own package.

Where it stands: `fork_server` becomes bubblewrap instead of an algorithm where `workers` asks for it, and bubblewrap
starts this module, which goes on as `algorithm_host` does everywhere: the same channel, the same confinement inside.
The box has mounts, processes, network, host name and IPC of its own. It costs a fresh interpreter for each algorithm,
so it is for code that a DSO lets others sign, and not for every algorithm.

Rules: whether it works is tried before the first use, since kernels and services forbid namespaces; where it does not,
the algorithm does not run.
"""

import os
import socket
import sys
from collections.abc import Sequence

from agent.processes.libraries import libraries
from algorithms.api.errors import shortened

PROGRAM = "bwrap"

_TRIAL = 10.0  # how long trying it may take [s]
_NAMESPACES = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--die-with-parent")
_SHARED_LIBRARIES = ("/lib", "/lib32", "/lib64")
_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def command(program: str, folders: Sequence[str], inside: Sequence[str]) -> list[str]:
    """
    Write bubblewrap's command line.

    Parameters
    ----------
    program : str
        Where bubblewrap is.
    folders : sequence of str
        What can be read in the box besides the system's libraries, under the same paths.
    inside : sequence of str
        The command to run.
    """
    interpreter = os.path.realpath(sys.executable)
    line = [program, *_NAMESPACES, "--cap-drop", "ALL"]
    if os.geteuid() == 0:  # the process changes its user itself, and is left without any
        line += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    own = os.path.join(sys.base_prefix, "lib")  # noqa: PTH118 - pathlib is not worth its memory here
    places = [*_SYSTEM, "/etc/ld.so.cache", interpreter, own, *folders]
    for above in sorted({above for place in places for above in _above(place)}):
        line += ["--perms", "0755", "--dir", above]  # by itself bubblewrap closes them to the algorithm's user
    for path in _SHARED_LIBRARIES:
        if os.path.islink(path):  # noqa: PTH114 - as above
            line += ["--symlink", os.readlink(path), path]  # noqa: PTH115 - as above
        else:
            places.append(path)
    for place in places:
        line += ["--ro-bind-try", place, place]
    return [*line, "--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--clearenv", "--", *inside]


def _above(path: str) -> list[str]:
    """List the folders above a path, without the root."""
    parts = path.strip("/").split("/")
    return ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts))]


def interpreter_with(*arguments: str) -> list[str]:
    """Write the command that starts Python in the box, with the same libraries as this process."""
    import agent  # noqa: PLC0415 - where it is, and nothing of it

    above = [os.path.dirname(path) for path in agent.__path__]  # noqa: PTH120 - as above
    paths = os.pathsep.join(dict.fromkeys([*above, *(path for path in sys.path if path)]))
    start = (
        f"import sys; sys.path[:] = {paths.split(os.pathsep)!r}; from agent.processes import box; box.main(sys.argv)"
    )
    return [os.path.realpath(sys.executable), "-I", "-S", "-c", start, *arguments]


def _program() -> str | None:
    import shutil  # noqa: PLC0415 - as above

    return shutil.which(PROGRAM)


def become(end: int, folder: str) -> None:
    """Replace this process by a box with an algorithm's process in it; returns only by raising `OSError`."""
    program = _program()
    if program is None:
        raise FileNotFoundError(PROGRAM)
    os.set_inheritable(end, True)
    line = command(program, [*libraries(), folder], interpreter_with(str(end)))
    os.execv(program, line)  # noqa: S606 - our own command


async def problem() -> str:
    """Say why algorithms cannot run in a box on this machine; empty where they can."""
    import asyncio  # noqa: PLC0415 - the fork server, which needs this module too, does without

    program = _program()
    if program is None:
        return f"found no program {PROGRAM}; install bubblewrap"
    line = command(program, libraries(), interpreter_with())
    process = await asyncio.create_subprocess_exec(
        *line, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_TRIAL):
            _, words = await process.communicate()
    except TimeoutError:
        return f"found that it takes more than {_TRIAL:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = " ".join(words.decode(errors="replace").split()) or f"status {process.returncode}"
    return f"found: {shortened(said, 200)}" if process.returncode else ""


def main(arguments: Sequence[str]) -> None:
    """Be what is in the box: an algorithm's process, or nothing where it was only to be tried."""
    if len(arguments) < 2:
        sys.exit(0)
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    import numpy.fft  # noqa: PLC0415 - before the confinement, as in the fork server
    import numpy.linalg  # noqa: F401, PLC0415

    from agent.processes import algorithm_host  # noqa: PLC0415 - after the number of threads is set

    sys.exit(algorithm_host.main(socket.socket(fileno=int(arguments[1]))))
