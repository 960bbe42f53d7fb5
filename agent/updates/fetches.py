"""
Having packages fetched, one at a time, and agreed upon: what the DSO signed must be what the catalog chose.

Where it stands: asked by `updates`; each fetch is a process of its own (`fetch_process`). Rules: what may pass by
itself, such as a network that is away, is tried again ever later, with jitter; what was refused is not.
"""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from agent.clock import synchronisation
from agent.config import AgentConfig
from agent.errors import TrustError
from agent.identity.tls import anchors_of
from agent.trust.decisions import Reading
from agent.updates.fetch_messages import FetchAnswer, FetchQuestion
from algorithms.api.errors import shortened
from device_catalog.contract.documents import PackageReference

FIRST_DELAY, LONGEST_DELAY = 2.0, 900.0
"""After a first failure, and at most [s]; half of it by chance."""

LONGEST = 2460.0
"""Most that one fetch may take altogether, with its unpacking on a slow card [s]."""

Ask = Callable[[str, str], Awaitable[FetchAnswer]]


class Fetches:
    """
    Fetches packages.

    Parameters
    ----------
    ask : callable
        Has a version of an algorithm fetched.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._alone = asyncio.Lock()
        self._chance = random.Random()

    async def fetch(self, name: str, version: str, package: PackageReference, on_delay: Callable[[str], None]) -> None:
        """
        Have a package put in place; returns when it is.

        Parameters
        ----------
        name, version : str
        package : PackageReference
            What the catalog chose.
        on_delay : callable
            Takes why it is tried again later.

        Raises
        ------
        TrustError
            When it is refused.
        """
        delay = FIRST_DELAY
        while True:
            async with self._alone:
                answer = await self._ask(name, version)
            if not answer.refusal:
                problem = disagreement(name, version, package, answer)
                if problem:
                    raise TrustError(problem)
                return
            if not answer.passing:
                raise TrustError(answer.refusal)
            on_delay(answer.refusal)
            await asyncio.sleep(delay * (0.5 + self._chance.random() / 2))
            delay = min(2.0 * delay, LONGEST_DELAY)


def disagreement(name: str, version: str, package: PackageReference, found: FetchAnswer) -> str:
    """
    Say where the signed repository and the catalog do not mean the same package; empty where they do.

    Examples
    --------
    >>> chosen = PackageReference(2, 1000, 64 * "a")
    >>> disagreement("dips", "1.1.0", chosen, FetchAnswer(release=2, length=1000, sha256=64 * "a"))
    ''
    >>> disagreement("dips", "1.1.0", chosen, FetchAnswer(release=3, length=1000, sha256=64 * "a"))
    'expected of dips 1.1.0 what the catalog chose (release 2), found signed release 3'
    """
    chosen, signed = [], []
    for what, here, there in (
        ("release", package.release, found.release),
        ("length", package.length, found.length),
        ("SHA-256", package.sha256.lower()[:16], found.sha256[:16]),
    ):
        if here != there:
            chosen.append(f"{what} {here}")
            signed.append(f"{what} {there}")
    if not chosen and package.sha256.lower() != found.sha256:
        chosen, signed = [f"SHA-256 {package.sha256}"], [f"SHA-256 {found.sha256}"]
    if not chosen:
        return ""
    return (
        f"expected of {name} {version} what the catalog chose ({', '.join(chosen)}), found signed {', '.join(signed)}"
    )


def asking_process(config: AgentConfig) -> Ask:
    """Have each question answered by a process of its own, which goes when the one who asked does."""

    async def ask(name: str, version: str) -> FetchAnswer:
        if not config.root:
            return FetchAnswer("expected a root of trust to judge packages by, found none; set root_file to the DSO's")
        question = FetchQuestion(
            name=name,
            version=version,
            state=str(config.state_dir),
            root=config.root,
            repository=config.catalog,
            ca=anchors_of(config),
            clock=Reading(time.time(), synchronisation().synchronised),
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.updates.fetch_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(LONGEST):
                said, words = await process.communicate(msgspec.json.encode(question))
        except TimeoutError:
            return FetchAnswer("expected the repository to answer in time, found it slower", passing=True)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            return msgspec.json.decode(said, type=FetchAnswer)
        except msgspec.DecodeError:
            lines = words.decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
            if "No module named 'tuf'" in lines[-1]:
                return FetchAnswer("expected the library tuf, found none; install python3-tuf or tresma[trust]")
            problem = f"expected an answer of the verifying process, found: {shortened(lines[-1], 200)}"
            return FetchAnswer(problem, passing=True)

    return ask
