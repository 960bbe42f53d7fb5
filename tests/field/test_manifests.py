"""
Deployments judged by public tools: ``make test-manifests``.

Kubernetes' own schemas (kubernetes-validate), the Compose specification (compose-spec) and systemd-analyze; they are
large, so the ordinary suite only looks whether what is named is there (tests/unit/test_deployment_files.py).
"""

import json
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

PACKAGING = Path(__file__).parents[2] / "packaging"
EXPOSURE = 20
"""Largest exposure that `systemd-analyze security` may find, in tenths."""

MANIFESTS = [path for path in sorted((PACKAGING / "kubernetes").glob("*/*.yaml")) if path.name != "kustomization.yaml"]
SERVICES = sorted({*(PACKAGING / "systemd").glob("*.service")} - {PACKAGING / "systemd" / "tresma-agent.service"})
"""That of a meter is tried on a booted system (`make test-package`)."""


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("release", ["1.31", "1.34"])
def test_manifests_are_what_kubernetes_takes(path, release):
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, release, strict=True)


def test_a_misspelt_field_would_be_found():
    document = yaml.safe_load((PACKAGING / "kubernetes" / "base" / "history.yaml").read_text())
    document["spec"]["template"]["spec"]["containers"][0]["resourcs"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.34", strict=True)


def test_the_compose_file_follows_its_specification():
    document = yaml.safe_load((PACKAGING / "compose" / "compose.yaml").read_text())
    assert "catalog" in PyCompose.from_json(json.dumps(document)).service_names()
    document["services"]["catalog"]["helthcheck"] = {}
    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_json(json.dumps(document))


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_units_are_understood_and_confined(path, tmp_path):
    program = shutil.which("systemd-analyze")
    assert program is not None, "systemd-analyze is needed: apt install systemd"
    security = [program, "security", "--offline=yes", f"--threshold={EXPOSURE}", str(path)]
    done = subprocess.run(security, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-500:]
    # Programs that this machine does not have are stood in for; what a unit says of them is what is verified.
    text = path.read_text()
    for own in ("/opt/tresma/bin/tresma-catalog", "/usr/bin/tresma-agent", "/usr/sbin/mosquitto"):
        text = text.replace(own, "/bin/true")
    unit = tmp_path / path.name.replace("@", "@grid")
    unit.write_text(text)
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
