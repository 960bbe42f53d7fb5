"""
A DSO with its signers, its repository and a server of it, and a meter that fetches: for tests of attacks.

The verifier runs in a fork of the test instead of a new interpreter, which saves half a second each; the process
itself has tests of its own.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from agent.trust.decisions import Reading
from agent.trust.exchange import Answer, Question
from agent.trust.fetching import Fetched, FetchedPolicy, Limits, fetch_algorithm, fetch_policy
from agent.trust.verifier import answer
from device_catalog.contract.packages import read_package
from device_catalog.packages.repository import Repository
from tests.support.packages import NAME, package_of

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def ask_fork(question: Question, _most: float) -> Answer:
    """Have a question answered by a fork of this process."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the server's thread holds no lock the child needs
        child = os.fork()
    if child == 0:
        os.write(writing, msgspec.json.encode(answer(question)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return msgspec.json.decode(said, type=Answer)


class Dso:
    """People with keys, and the repository they sign."""

    def __init__(self, folder: Path, now: datetime = NOW) -> None:
        names = "anna bert carl online other mallory"
        self.folder = folder
        self.keys = {name: CryptoSigner(Ed25519PrivateKey.generate()) for name in names.split()}
        public = {name: key.public_key for name, key in self.keys.items()}
        people, online = [public["anna"], public["bert"]], [public["online"]]
        self.at(now).begin({"root": people, "targets": people, "snapshot": online, "timestamp": online}, 2)
        self.confirm(now)
        self.root = (folder / "metadata" / "1.root.json").read_bytes()

    def at(self, now: datetime) -> Repository:
        return Repository(self.folder, now)

    def public(self, name: str):
        return self.keys[name].public_key

    def confirm(self, now: datetime = NOW, by: str = "anna bert", online: str = "online") -> None:
        for name in by.split():
            self.at(now).sign(self.keys[name])
        self.at(now).publish([self.keys[name] for name in online.split()])

    def release(self, version: str = "0.1.0", release: int = 1, now: datetime = NOW) -> None:
        name, data = package_of(version, release)
        self.at(now).add(read_package(name, data), data)
        self.confirm(now)


class Server(ThreadingHTTPServer):
    """Serves the repository's two folders; `instead` answers a path in another way."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path) -> None:
        self.instead: dict[str, Callable[[SimpleHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.path = self.path.removeprefix("/v1/trust")
        self.server.asked.append(self.path)
        for end, call in self.server.instead.items():
            if self.path.endswith(end):
                call(self)
                return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    with Server(folder) as server:
        thread = threading.Thread(target=partial(server.serve_forever, 0.02), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


def endless(handler: SimpleHTTPRequestHandler) -> None:
    """Answer without end."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(65536))
    except OSError:
        return


def trickling(handler: SimpleHTTPRequestHandler) -> None:
    """Answer a byte now and then, so that no timeout of a socket strikes."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        return


def saying(content: bytes) -> Callable[[SimpleHTTPRequestHandler], None]:
    """Answer with `content`."""

    def call(handler: SimpleHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return call


class Meter:
    """A meter with a state folder and a clock."""

    def __init__(self, state: Path, root: bytes, url: str) -> None:
        state.mkdir(exist_ok=True)
        self.state, self.root, self.url = state, root, url

    def fetch(
        self, version: str = "0.1.0", now: datetime = NOW, *, synchronised: bool = True, file: float = 5.0
    ) -> Fetched:
        return fetch_algorithm(
            NAME,
            version,
            state=self.state,
            root=self.root,
            repository=self.url,
            clock=Reading(now.timestamp(), synchronised),
            limits=Limits(file=file, rate=8192.0, whole=20.0, turn=0.1),
            ask=ask_fork,
        )

    def fetch_policy(self, now: datetime = NOW, *, file: float = 5.0) -> FetchedPolicy:
        return fetch_policy(
            state=self.state,
            root=self.root,
            repository=self.url,
            clock=Reading(now.timestamp(), True),
            limits=Limits(file=file, rate=262144.0, whole=20.0, turn=0.1),
            ask=ask_fork,
        )

    def installed(self) -> list[str]:
        """List the sets in place."""
        return sorted(path.name.partition("-")[0] for path in (self.state / "algorithms").glob("*/*"))
