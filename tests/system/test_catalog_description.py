"""The catalog's own description of its interface (OpenAPI) against what a real process answers."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests

from tests.support.catalog import CatalogProcess
from tests.support.commissioning import signed_by
from tests.support.enrolment import invite, signing_request
from tests.support.images import image_of, served_names
from tests.support.layered_network import layered_document, states_of
from tests.support.packages import package_of
from tests.support.policies import policy_bytes
from tests.support.recording_labels import label
from tests.support.trust import Dso

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def catalog() -> Iterator[CatalogProcess]:
    with CatalogProcess() as running:
        yield running


def test_the_description_is_true_to_the_server(catalog, tmp_path):
    description = requests.get(f"{catalog.url}/v1/openapi", timeout=5).json()
    credential = catalog.register("m-description")
    catalog.poll("m-description", credential)
    patch = {"headers": {"Content-Type": "application/merge-patch+json"}, "data": '{"boot": 1}'}
    made = {"made": "2026-05-01T12:00:00Z", "by": "A. Installer"}
    calibration = {"schema": "calibration/1", "device": "m-description", **made}
    network = layered_document()
    dso = Dso(tmp_path / "trust", datetime.now(UTC))
    name, package = package_of()
    target = f"{hashlib.sha256(package).hexdigest()}.{name}"
    dso.release(now=datetime.now(UTC))
    documents = {path.name: path.read_text() for path in (dso.folder / "metadata").iterdir()}
    rollout = {"algorithm": "voltage-band", "version": "0.1.0", "to": {"devices": ["m-description"]}, "add": True}
    policy = policy_bytes()
    image, manifest, payload = image_of(tmp_path)
    files = dict(zip(("{image}", "payload"), served_names(image, manifest), strict=True))
    files |= {"metadata": "root.json", "policy": f"{hashlib.sha256(policy).hexdigest()}.policy.json"}
    part = {"data": payload.read_bytes(), "headers": {"Upload-Offset": "0"}}
    images = "/v1/trust/targets/images/{image}/{file}"
    bodies = {
        ("post", "/v1/rollouts"): {"json": rollout},
        ("post", "/v1/rollouts/{rollout}/orders"): {"json": {"order": "pause"}, "headers": {"If-Match": "*"}},
        ("post", "/v1/groups/{group}/members"): {"json": {"add": ["m-description"]}},
        ("put", "/v1/trust/targets/policy/{file}"): {"data": policy},
        ("put", images): {"data": manifest},
        ("patch", images): part,
        ("put", "/v1/trust/metadata"): {"json": {"documents": documents}},
        ("put", "/v1/trust/targets/algorithms/{algorithm}/{file}"): {"data": package},
        ("post", "/v1/devices"): {"json": {"device": "m-described"}},
        ("post", "/v1/devices/{device}/enrolment"): {"json": {}},
        ("post", "/v1/devices/{device}/revocation"): {"json": {}},
        ("post", "/v1/operators"): {"json": {"operator": "described", "role": "viewer"}},
        ("put", "/v1/devices/{device}/configuration"): {"json": {}, "headers": {"If-Match": "*"}},
        ("put", "/v1/devices/{device}/calibration"): {"json": calibration},
        ("post", "/v1/devices/{device}/commissionings"): {"json": signed_by(catalog, "m-commissioned")},
        ("put", "/v1/devices/{device}/reported"): {"json": {"boot": 2}},
        ("patch", "/v1/devices/{device}/reported"): patch,
        ("put", "/v1/devices/{device}/recordings/{recording}"): {"json": label("m-description", "r-1", b"samples")},
        ("patch", "/v1/devices/{device}/recordings/{recording}/file"): {"data": b"samples"},
        ("post", "/v1/devices/{device}/support"): {"json": {"kind": "bundle"}},
        ("put", "/v1/devices/{device}/support/{support}"): {
            "json": {"bytes": 7, "sha256": hashlib.sha256(b"samples").hexdigest()}
        },
        ("patch", "/v1/devices/{device}/support/{support}/file"): {"data": b"samples"},
        ("put", "/v1/networks/{network}"): {"json": network, "headers": {"If-Match": "*"}},
        ("post", "/v1/networks/{network}/lease"): {"json": {"holder": "m-placed"}},
        ("post", "/v1/networks/{network}/lease/states"): {"json": {"holder": "m-placed", "token": 1, "states": {}}},
        ("put", "/v1/networks/{network}/lease"): {"json": {"holder": "m-placed", "token": 1}},
        ("put", "/v1/networks/{network}/topology"): {"json": states_of(network, 1), "headers": {"If-Match": '"0"'}},
    }
    catalog.register("m-placed", configuration={"topology": {"network": "net-3", "area": "lv-1"}})
    catalog.operator("PUT", "/v1/networks/net-3", json=network, headers={"If-None-Match": "*"})
    catalog.operator("PUT", f"/v1/trust/targets/algorithms/voltage-band/{target}", data=package)
    catalog.operator("PUT", "/v1/trust/metadata", json={"documents": documents})
    brought = catalog.operator("PATCH", images.format(image=image.name, file=files["payload"]), **part)
    assert brought.json()["received"] == image.payload_length
    catalog.register("m-enrolled")
    token_of = invite(catalog, "m-enrolled")
    enrolment = {"device": "m-enrolled", "secret": token_of.secret, "request": signing_request("m-enrolled")}
    bodies["post", "/v1/enrolments"] = {"json": enrolment}
    order = ("post", "put", "patch", "get", "delete")
    token = 0
    operations = [(method, path) for path, item in description["paths"].items() for method in item]
    # A device goes after what belongs to it: with it goes everything.
    last = "delete", "/v1/devices/{device}"
    for method, path in sorted(operations, key=lambda one: (order.index(one[0]), one == last)):
        stated = description["paths"][path][method]
        body = bodies.get((method, path), {})
        if "token" in body.get("json", {}):
            body["json"]["token"] = token
        answer = catalog.operator(
            method,
            path.format(
                device={"network": "m-placed", "commissionings": "m-commissioned"}.get(
                    path.partition("}/")[2].partition("/")[0], "m-description"
                ),
                number=1,
                recording="r-1",
                support="s-1",
                network="net-3",
                area="lv-1",
                revision=1,
                fault="nobody-told-of-it",
                operator="described",
                rollout="r-1",
                group="pilot",
                content="frames",
                algorithm="voltage-band",
                image=image.name,
                file=files.get("payload" if (method, path) == ("patch", images) else path.split("/")[-2], target),
            ),
            **body,
        )
        if path.endswith("/lease") and method == "post":
            token = answer.json()["token"]
        assert str(answer.status_code) in stated["responses"], (method, path, answer.status_code)
        # A broker would have to tell of a fault and of measurements; a certificate is renewed with itself only.
        known = "{fault}" not in path and not path.endswith("/certificate") and "/history/{device}" not in path
        assert (answer.status_code < 300) == known, (method, path, answer.text)
        if stated.get("security"):
            refused = requests.request(method, catalog.url + path.format_map(defaultdict(lambda: "x")), timeout=5)
            assert refused.status_code == 401
            assert "401" in stated["responses"]
        for media_type in stated["responses"][str(answer.status_code)].get("content", {}):
            assert answer.headers["Content-Type"] == media_type
