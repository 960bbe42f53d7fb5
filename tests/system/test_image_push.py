"""An image's way from a file through the catalog to a meter: packed, signed, brought part by part, fetched again."""

import asyncio
import hashlib
from datetime import UTC, datetime

import msgspec
import requests

from agent.config import AgentConfig
from agent.updates.image_fetches import ImageFetches
from agent.updates.image_journal import ImageChoice
from device_catalog.contract.documents import ImageSetting, PackageReference
from device_catalog.contract.images import About, payload_path, read_manifest
from device_catalog.operator.__main__ import main
from tests.support.catalog import CatalogProcess
from tests.support.images import KIND, NAME, content_of
from tests.support.trust import Dso


def operator(*words):
    assert main([str(word) for word in words]) == 0


def test_an_image_is_packed_signed_pushed_and_fetched_by_a_meter(tmp_path, capsys):
    root, about = tmp_path / "root.ext4", tmp_path / "about.json"
    root.write_bytes(content_of("1.1.0", 2))
    about.write_bytes(msgspec.json.encode(About(NAME, "1.1.0", 2, KIND)))
    operator("image", "pack", root, "--about", about, "--output", tmp_path / "out")
    manifest = tmp_path / "out" / f"{NAME}-1.1.0.json"
    operator("image", "inspect", manifest)
    assert f"{NAME} 1.1.0, release 2, for {KIND}" in capsys.readouterr().out
    assert main(["image", "pack", str(root)]) == 2
    assert "expected to be told which image this is" in capsys.readouterr().err
    now = datetime.now(UTC)
    dso = Dso(tmp_path / "trust", now)
    operator("repository", "add", dso.folder, manifest)
    dso.confirm(now)
    with CatalogProcess(state=tmp_path / "catalog") as catalog:
        push = ("repository", "push", "--catalog", catalog.url, "--token-file", catalog.state / "operator.token")
        operator(*push, dso.folder)
        said = capsys.readouterr()
        assert f"tresma rollout start {NAME}==1.1.0 --to GROUP" in said.out
        operator(*push, dso.folder)
        assert "0 packages and 0 documents are new" in capsys.readouterr().out
        fetch(catalog.url, dso, manifest.read_bytes(), tmp_path / "meter")
        there = f"{catalog.url}/v1/trust/targets/{payload_path(read_manifest(manifest.read_bytes()))}"
        payload = manifest.with_suffix(".image").read_bytes()
        part = requests.get(there, headers={"Range": "bytes=100-199"}, timeout=5)
        assert (part.status_code, part.content) == (206, payload[100:200])
        assert part.headers["Content-Range"] == f"bytes 100-199/{len(payload)}"
        assert requests.get(there, headers={"Range": f"bytes={len(payload)}-"}, timeout=5).status_code == 416
        assert requests.patch(there, data=b"x", timeout=5).status_code == 401
        other = there.replace(".image", "-other.image")
        assert catalog.operator("PATCH", other.removeprefix(catalog.url), data=b"x").status_code == 400


def fetch(url, dso, data, state):
    """Fetch it as an agent does, in processes of their own."""
    config = AgentConfig("m-1", url, "", state, root=dso.root)
    package = PackageReference(2, len(data), hashlib.sha256(data).hexdigest())
    chosen = ImageChoice.of(ImageSetting(NAME, "1.1.0", package))
    fetches = ImageFetches(config)

    async def story():
        manifest = await fetches.manifest(chosen, package, 1)
        _, payload = fetches.files(chosen)
        payload.write_bytes(b"torn")
        await fetches.payload(chosen, manifest, 1e9)
        assert fetches.share(chosen, manifest) == 1.0

    asyncio.run(story())
