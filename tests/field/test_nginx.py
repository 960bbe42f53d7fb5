"""
The recipe for nginx in front of the catalog, with a real nginx: ``make test-proxy``.

It needs nginx, which the ordinary suite does not, so it is no part of that.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from tests.support.catalog import CatalogProcess
from tests.support.enrolment import catalog_command, identity
from tests.support.ports import free_port
from tests.support.waiting import wait_until

RECIPE = Path(__file__).parents[2] / "packaging" / "nginx" / "tresma-catalog.conf"
AROUND = """\
daemon off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{recipe}
}}
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[CatalogProcess, str, Path]]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert program is not None, "nginx is needed: apt install nginx"
    with CatalogProcess(options=["--proxy=127.0.0.1"]) as catalog:
        catalog_command(catalog, "authority", "server", "127.0.0.1", f"--output={tmp_path / 'tresma.pem'}")
        port = free_port()
        recipe = RECIPE.read_text()
        for before, after in (
            ("/etc/nginx/tresma.pem", str(tmp_path / "tresma.pem")),
            ("/etc/nginx/tresma-anchors.pem", str(catalog.anchors)),
            ("127.0.0.1:8080", f"127.0.0.1:{catalog.port}"),
            ("    listen [::]:443 ssl;\n", ""),
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ):
            assert before in recipe
            recipe = recipe.replace(before, after)
        (tmp_path / "nginx.conf").write_text(AROUND.format(folder=tmp_path, recipe=recipe))
        proxy = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "errors")])
        address = f"https://127.0.0.1:{port}"
        try:
            wait_until(lambda: serves(address, catalog), "nginx serving")
            yield catalog, address, tmp_path
        finally:
            proxy.terminate()
            proxy.wait(10)


def serves(address: str, catalog: CatalogProcess) -> bool:
    try:
        return requests.get(f"{address}/healthz", verify=str(catalog.anchors), timeout=5).ok
    except requests.ConnectionError:
        return False


def test_a_device_is_known_behind_nginx_by_its_certificate_and_by_nothing_else(world):
    catalog, address, folder = world
    for name in ("m-1", "m-2"):
        catalog.register(name)
    certificate = identity(catalog, "m-1", folder)
    with requests.Session() as session:

        def poll(device, **options):
            path = f"{address}/v1/devices/{device}/desired"
            return session.get(path, verify=str(catalog.anchors), timeout=5, **options).status_code

        assert poll("m-1", cert=str(certificate)) == 200
        assert poll("m-2", cert=str(certificate)) == 401
    with requests.Session() as session:
        assert poll("m-1") == 401
        text = certificate.read_text()
        made_up = quote(text[text.index("-----BEGIN CERTIFICATE") :])
        assert poll("m-1", headers={"Client-Cert": made_up}) == 401, "nginx says itself who it is"
    with requests.Session() as session:
        session.cert = str(certificate)
        assert poll("m-1") == 200
        assert catalog.operator("POST", "/v1/devices/m-1/revocation", json={}).status_code == 200
        assert poll("m-1") == 401, "in the same connection"
