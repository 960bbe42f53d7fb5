"""
An algorithm of the DSO's own on a running meter: renewed in the shadow of itself; a broken version is taken back.

What a DSO's two signers do in days, each on a machine of their own, happens here in the demo's: a repository begins,
its root is given to the meter, and versions of one small algorithm, which tells how unequal the three voltages are, are
packed, signed by both and pushed to the catalog. The rest is rollouts, as an operator starts them.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from demo_words import say
from securesystemslib.signer import CryptoSigner

from device_catalog.contract.packages import Package
from device_catalog.contract.rollout_progress import RolloutDetail
from device_catalog.contract.rollouts import RolloutState
from device_catalog.operator.errors import OperatorError
from device_catalog.operator.repository_push import TrustCatalog
from device_catalog.operator.rollout_catalog import RolloutCatalog
from device_catalog.operator.settings import Settings
from device_catalog.packages.packing import pack
from device_catalog.packages.repository import Repository
from device_catalog.packages.skeleton import write_skeleton

ALGORITHM, DEVICE = "unbalance", "simulated"
FIRST, BETTER, BROKEN = "1.0.0", "1.1.0", "1.2.0"
PROBATION = 1.5
"""How long a version has to prove itself [s]; a meter in the field takes a minute."""

COMPARED = 6
"""Records that must have been laid side by side before the better version is promoted."""

PATIENCE = 40.0
"""The longest that one step may take [s]."""

_RATIO = "negative / positive"
_SOURCES = {
    FIRST: (_RATIO, ""),
    BETTER: ("negative * (1.0 / positive)", ""),  # the same but for rounding
    BROKEN: (_RATIO, "if self.frames > 50:\n            raise RuntimeError('a bug that no test had found')"),
}
"""How each version divides, and what is wrong with it."""

_CODE = '''"""How unequal three voltages are: negative over positive sequence."""

from algorithms.api.algorithm import Algorithm
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, Result


class Unbalance(Algorithm):
    """A result from the first frame of every half second, whenever it was started."""

    info = AlgorithmInfo(
        name="unbalance", version="@VERSION@", summary="Tells how unequal three voltages are.",
        consumes=(Kind.FRAME,), produces=(Kind.RESULT,), contents=("unbalance/1",),
    )

    def start(self, context, restored):
        self.terminal, self.frames = context.terminal, 0

    def process(self, record):
        self.frames += 1
        @FAULT@
        sequence = record.voltage_sequence
        if sequence is None or not sequence.positive.magnitude or record.time_ns % 500_000_000 >= 20_000_000:
            return []
        negative, positive = sequence.negative.magnitude, sequence.positive.magnitude
        return [Result("unbalance/1", self.terminal, record.time_ns, {"u2": @RATIO@})]
'''


class Releases:
    """
    The DSO's side of the story, in a thread of its own.

    Parameters
    ----------
    folder : pathlib.Path
        Where repository and packages are made.

    Attributes
    ----------
    done : bool
        Whether the whole of it went as it should.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._repository = folder / "releases", folder / "releases" / "trust"
        self._packages: dict[str, tuple[Package, bytes]] = {}
        self._settings = Settings(catalog="", token="")
        self._lines: list[str] = []
        self._trouble = ""
        self._is_cut_short = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="releases", daemon=True)
        self.done = False

    @property
    def root(self) -> bytes:
        """The root of trust that a meter is given."""
        return (self._repository / "metadata" / "1.root.json").read_bytes()

    @property
    def assignment(self) -> dict[str, Any]:
        """What makes a meter run the first version."""
        package, data = self._packages[FIRST]
        reference = {"release": package.manifest.release, "length": len(data), "sha256": package.sha256}
        return {"algorithm": ALGORITHM, "version": FIRST, "package": reference, "probation": PROBATION}

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return not self._thread.is_alive()

    def prepare(self, settings: Settings) -> None:
        """Make the packages, have both people sign them, and push them to the catalog."""
        say(f"packing three versions of the algorithm {ALGORITHM}, having two people sign them, and pushing them")
        self._settings = settings
        self._folder.mkdir()
        for release, version in enumerate(_SOURCES, 1):
            self._packages[version] = pack(self._written(version, release))
        people = [CryptoSigner(Ed25519PrivateKey.generate()) for _ in range(2)]
        online = CryptoSigner(Ed25519PrivateKey.generate())
        keys = [person.public_key for person in people]
        repository = Repository(self._repository, datetime.now(UTC))
        repository.begin(
            {"root": keys, "targets": keys, "snapshot": [online.public_key], "timestamp": [online.public_key]}, 2
        )
        for package, data in self._packages.values():
            repository.add(package, data)
        for person in people:
            repository.sign(person)
        repository.publish([online])
        with TrustCatalog(settings) as catalog:
            for path in sorted((self._repository / "targets").glob("algorithms/*/*.whl")):
                catalog.bring(f"/v1/trust/targets/{path.relative_to(self._repository / 'targets')}", path.read_bytes())
            metadata = sorted((self._repository / "metadata").iterdir())
            catalog.bring_documents({path.name: path.read_text() for path in metadata})

    def start(self) -> None:
        """Begin with the rollouts."""
        self._thread.start()

    def stop(self, *, by_hand: bool) -> None:
        """Let it be; returns within a second or two."""
        self._is_cut_short = by_hand
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def lines(self) -> list[str]:
        """Say what has happened so far."""
        return list(self._lines)

    def summary(self) -> list[str]:
        """Say what happened."""
        return [f"  {line}" for line in self._lines]

    def faults(self) -> list[str]:
        """Say what did not go as it should; a story that was cut short by hand is no fault."""
        if self._trouble:
            return [f"releases: {self._trouble}"]
        return [] if self.done or self._is_cut_short else ["releases: the story did not come to its end"]

    # ---- the story

    def _run(self) -> None:
        try:
            with RolloutCatalog(self._settings) as catalog:
                self._renew(catalog)
                self._break(catalog)
            self.done = True
        except (OperatorError, TimeoutError) as error:
            if not self._ended.is_set():
                self._trouble = str(error)

    def _renew(self, catalog: RolloutCatalog) -> None:
        started = self._rollout(catalog, BETTER, shadow=True)
        self._tell(f"{ALGORITHM} {BETTER} runs in the shadow of {FIRST} on {DEVICE}")
        shown = self._until(catalog, started, lambda detail: not detail.summary.shadowing, "its promotion")
        compared = shown.comparison
        if compared is not None:
            self._tell(
                f"{compared.compared} results of both laid side by side, {compared.differing} differ "
                f"(largest difference {compared.largest:.0e}): {BETTER} is promoted"
            )
        began = time.monotonic()
        self._until(catalog, started, lambda detail: detail.summary.state is RolloutState.FINISHED, "taking over")
        self._tell(
            f"{BETTER} took over within {time.monotonic() - began:.1f} s, its probation of {PROBATION:g} s included"
        )

    def _break(self, catalog: RolloutCatalog) -> None:
        started = self._rollout(catalog, BROKEN, shadow=False)
        began = time.monotonic()
        failed = self._until(
            catalog, started, lambda detail: detail.summary.state is RolloutState.FAILED, "the broken version's failure"
        )
        self._tell(
            f"{BROKEN} failed after {time.monotonic() - began:.1f} s, and its rollout stopped: {failed.summary.reason}"
        )
        self._until(catalog, started, lambda detail: detail.summary.counts.back == 1, "the way back")
        self._tell(f"{DEVICE} goes on with {BETTER}")

    def _rollout(self, catalog: RolloutCatalog, version: str, *, shadow: bool) -> str:
        request: dict[str, Any] = {
            "algorithm": ALGORITHM,
            "version": version,
            "to": {"devices": [DEVICE]},
            "stages": [{"percent": 100.0, "soak": 0.0}],
            "max_failures": 0,
            "deadline": PATIENCE,
        }
        if shadow:
            limits = {"largest": 1e-9, "processor_ratio": 10.0, "memory_ratio": 3.0}
            request["shadow"] = {"soak": 1.0, "promote_when_equal": True, "compared": COMPARED, **limits}
        return catalog.start(request).summary.rollout

    def _until(
        self, catalog: RolloutCatalog, name: str, condition: Callable[[RolloutDetail], bool], what: str
    ) -> RolloutDetail:
        until = time.monotonic() + PATIENCE
        while True:
            detail, _ = catalog.rollout(name)
            if condition(detail):
                return detail
            if time.monotonic() > until or self._ended.wait(0.2):
                raise TimeoutError(
                    f"{what} did not happen within {PATIENCE:g} s ({detail.summary.reason or 'no reason'})"
                )

    def _tell(self, line: str) -> None:
        self._lines.append(line)

    def _written(self, version: str, release: int) -> Path:
        """Write an author's folder for a version."""
        parent = self._folder / version
        parent.mkdir()
        folder = write_skeleton(ALGORITHM, parent)
        ratio, fault = _SOURCES[version]
        code = _CODE.replace("@VERSION@", version).replace("@RATIO@", ratio).replace("@FAULT@", fault or "pass")
        (folder / ALGORITHM / "algorithm.py").write_text(code)
        for name, before, after in (
            ("algorithm.toml", "release = 1", f"release = {release}"),
            ("setup.cfg", "version = 0.1.0", f"version = {version}"),
        ):
            path = folder / name
            path.write_text(path.read_text().replace(before, after))
        return folder
