"""What an administrator deploys refers only to what is there: files, folders, settings, options, ports, services."""

import configparser
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from device_catalog.config import ENVIRONMENT_PREFIX, CatalogConfig

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
COMPOSE = yaml.safe_load((PACKAGING / "compose" / "compose.yaml").read_text())
KUBERNETES = PACKAGING / "kubernetes"


def manifests():
    for path in sorted(KUBERNETES.glob("*/*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] != "Kustomization":
                yield document


def pods():
    for document in manifests():
        if document["kind"] in {"Deployment", "StatefulSet"}:
            yield document, document["spec"]["template"]["spec"]


def test_what_the_compose_file_mounts_builds_and_depends_on_is_there():
    folder = PACKAGING / "compose"
    for name, service in COMPOSE["services"].items():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in COMPOSE["volumes"] or (folder / source).is_file(), f"{name}: {mount}"
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in COMPOSE["services"][needed], f"{name} waits for {needed}"
            else:
                assert COMPOSE["services"][needed]["restart"] == "no", f"{name} waits for the end of {needed}"
        shared = service.get("network_mode", "")
        assert shared in {"", "none"} or shared.removeprefix("service:") in COMPOSE["services"]
        if "build" in service:
            context = folder / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()


def test_only_tls_is_reached_from_outside_and_nothing_is_more_than_it_must_be():
    published = {port for service in COMPOSE["services"].values() for port in service.get("ports", ())}
    assert published == {"443:443", "8883:8883", "8884:8884"}
    for name, service in COMPOSE["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["user"] != "0:0" or service["network_mode"] == "none", name
    state = [name for name, service in COMPOSE["services"].items() if any("state:" in v for v in service["volumes"])]
    assert set(state) == {"folders", "keys", "catalog", "history"}, "no broker and no proxy sees the authority's key"


def test_the_example_environment_names_what_the_compose_file_asks_for():
    asked = set(re.findall(r"\$\{([A-Z_]+)", (PACKAGING / "compose" / "compose.yaml").read_text()))
    named = set(re.findall(r"^([A-Z_]+)=", (PACKAGING / "compose" / "example.env").read_text(), re.MULTILINE))
    assert asked == named


def test_settings_given_by_environment_are_settings_of_the_catalog():
    given = set(COMPOSE["x-catalog"]["environment"])
    for document in manifests():
        given |= set(document.get("data", {})) if document["kind"] == "ConfigMap" else set()
    given |= {one["name"] for _, pod in pods() for container in pod["containers"] for one in container.get("env", ())}
    ours = {name for name in given if name.startswith(ENVIRONMENT_PREFIX)}
    assert ours
    assert ours <= {ENVIRONMENT_PREFIX + name.upper() for name in CatalogConfig.__struct_fields__}


def test_ports_of_the_brokers_are_those_of_their_configurations():
    for name in ("grid", "data"):
        (port,) = re.findall(r"^listener (\d+)$", (PACKAGING / "mosquitto" / f"{name}.conf").read_text(), re.MULTILINE)
        assert COMPOSE["services"][name]["ports"] == [f"{port}:{port}"]
        (pod,) = [pod for document, pod in pods() if document["metadata"]["name"] == name]
        assert pod["containers"][0]["ports"][0]["containerPort"] == int(port)


def test_manifests_name_only_claims_maps_and_selectors_that_exist():
    every = list(manifests())
    kustomization = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())
    claims = {document["metadata"]["name"] for document in every if document["kind"] == "PersistentVolumeClaim"}
    maps = {document["metadata"]["name"] for document in every if document["kind"] == "ConfigMap"}
    maps |= {one["name"] for one in kustomization["configMapGenerator"]}
    labels = [document["spec"]["template"]["metadata"]["labels"] for document, _ in pods()]
    for document, pod in pods():
        own = {one["metadata"]["name"] for one in document["spec"].get("volumeClaimTemplates", ())}
        volumes = {volume["name"] for volume in pod["volumes"]} | own
        for volume in pod["volumes"]:
            assert volume.get("persistentVolumeClaim", {}).get("claimName", "tresma-state") in claims
            assert volume.get("configMap", {}).get("name", "tresma-settings") in maps
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            for source in container.get("envFrom", ()):
                assert source["configMapRef"]["name"] in maps
    for document in every:
        if document["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = document["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            assert any(selector.items() <= label.items() for label in labels), document["metadata"]["name"]


def test_every_container_is_confined_and_says_what_it_needs():
    for document, pod in pods():
        name = document["metadata"]["name"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"], name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name


@pytest.mark.parametrize("name", ["grid.conf", "data.conf", "broker-follow"])
def test_copies_for_kubernetes_are_the_originals(name):
    folder = "catalog" if name == "broker-follow" else "mosquitto"
    assert (KUBERNETES / "base" / name).read_text() == (PACKAGING / folder / name).read_text()


def test_kustomizations_name_files_that_are_there():
    for path in KUBERNETES.glob("*/kustomization.yaml"):
        content = yaml.safe_load(path.read_text())
        files = [name for one in content.get("configMapGenerator", ()) for name in one["files"]]
        files += [one["path"] for one in content.get("patches", ()) if "path" in one]
        for name in (*content["resources"], *files):
            assert (path.parent / name).exists(), f"{path}: {name}"


def test_the_image_copies_files_that_are_there_and_installs_extras_that_exist():
    recipe = (PACKAGING / "catalog" / "Containerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", recipe, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    (extras,) = re.findall(r'"\.\[([a-z,]+)\]"', recipe)
    known = re.findall(r"^([a-z]+) =$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert set(extras.split(",")) <= set(known)


def test_an_installed_package_has_every_file_that_stands_beside_its_modules():
    """What is run from a clone works without; whoever installs would miss pages and styles."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    patterns = [one.strip() for one in settings["options.package_data"]["*"].split(",")]
    missing = []
    for room in ("agent", "algorithms", "device_catalog", "hardware"):
        for file in (ROOT / room).rglob("*"):
            if file.is_dir() or file.suffix in (".py", ".pyc", ".md") or "__pycache__" in file.parts:
                continue
            package = next(folder for folder in file.parents if (folder / "__init__.py").exists())
            name = str(file.relative_to(package))
            if not any(fnmatch(name, one) and one.count("/") == name.count("/") for one in patterns):
                missing.append(str(file.relative_to(ROOT)))
    assert missing == []
