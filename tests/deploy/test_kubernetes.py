"""The manifests of ``deploy/kubernetes``, as kubectl renders them: valid, and in accord with the server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.lacking import lacking
from tests.program import ROOT, Program, run
from wsgiserve.config.units import parse_time

FOLDER = ROOT / "deploy" / "kubernetes"
HOOKS_SECONDS = 4  # what the server leaves the app's own hooks at its end


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    kubectl = shutil.which("kubectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if kubectl is None:
        lacking("kubectl is not installed")
    command = [kubectl, "kustomize", str(FOLDER)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return list(yaml.safe_load_all(shown))


def kind(manifests: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (manifest,) = (each for each in manifests if each["kind"] == name)
    return dict(manifest["spec"])


@pytest.fixture(scope="module")
def pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(kind(manifests, "Deployment")["template"]["spec"])


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    return dict(container)


@pytest.fixture(scope="module")
def variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


def test_the_manifests_are_valid(manifests: list[dict[str, Any]]) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    assert {manifest["kind"] for manifest in manifests} == {
        *("Namespace", "Deployment", "Service", "Ingress", "NetworkPolicy"),
        *("PodDisruptionBudget", "HorizontalPodAutoscaler"),
    }


def test_the_validator_finds_a_misspelt_field(manifests: list[dict[str, Any]]) -> None:
    (service,) = (each for each in manifests if each["kind"] == "Service")
    wrong = {**service, "spec": {**service["spec"], "port": service["spec"]["ports"]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_every_file_is_in_the_kustomization() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(path.name for path in FOLDER.iterdir())


def test_all_selectors_choose_the_pods(manifests: list[dict[str, Any]]) -> None:
    labels = kind(manifests, "Deployment")["template"]["metadata"]["labels"]
    assert labels
    assert kind(manifests, "Deployment")["selector"]["matchLabels"] == labels
    assert kind(manifests, "Service")["selector"] == labels
    assert kind(manifests, "PodDisruptionBudget")["selector"]["matchLabels"] == labels
    assert kind(manifests, "NetworkPolicy")["podSelector"]["matchLabels"] == labels
    assert kind(manifests, "HorizontalPodAutoscaler")["scaleTargetRef"]["name"] == "shop"


def test_the_pod_fits_the_restricted_profile(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The Pod Security Standards, profile Restricted; and its root is read-only."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert {frozenset(volume) - {"name"} for volume in pod["volumes"]} == {frozenset({"emptyDir"})}
    assert not [port for port in container["ports"] if "hostPort" in port]


def test_the_drain_outlasts_the_probe_and_the_pod_outlasts_the_drain(
    pod: dict[str, Any], container: dict[str, Any], variables: dict[str, str]
) -> None:
    drain = parse_time(variables["WSGISERVE_DRAIN_DELAY"])
    graceful = parse_time(variables["WSGISERVE_GRACEFUL_TIMEOUT"])
    probe = container["readinessProbe"]
    assert drain >= probe["periodSeconds"] * probe["failureThreshold"] + 2
    assert pod["terminationGracePeriodSeconds"] > drain + graceful + HOOKS_SECONDS


def test_every_option_is_known(tmp_path: Path, variables: dict[str, str]) -> None:
    """A variable that is no option ends the start."""
    code, shown, errors = run(tmp_path, "config", env=variables)
    assert (code, errors) == (0, "")
    for name in variables.keys() - {"PORT"}:
        assert name in shown


@pytest.mark.slow
def test_the_probes_are_answered_until_the_stop(
    tmp_path: Path, container: dict[str, Any], variables: dict[str, str]
) -> None:
    """By a server with the pod's environment, but for its ports."""
    given = variables | {
        "PORT": "",
        "WSGISERVE_BIND": "127.0.0.1:0",
        "WSGISERVE_OPS_BIND": f"unix:{tmp_path}/ops",
    }
    with Program(ROOT, "app:application", env=given) as program:
        port = program.port()
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            request = container[probe]["httpGet"]
            assert request["port"] == "http"
            assert health(f"http://127.0.0.1:{port}{request['path']}") == (0, "200 OK\n", "")
        assert health(f"unix:{tmp_path}/ops:/live")[0] == 0
        ready = f"http://127.0.0.1:{port}{container['readinessProbe']['httpGet']['path']}"
        program.process.terminate()
        while health(ready)[0] == 0:
            assert program.process.poll() is None
        assert health(ready)[2] == f"wsgiserve: {ready} answers 503 Service Unavailable\n"
        program.process.terminate()
        assert program.end()[0] == 0


def health(url: str) -> tuple[int, str, str]:
    return run(ROOT, "health", url)  # type: ignore[no-any-return]
