"""The Job that ``instar fleet script --kubernetes`` prints, as the client of Kubernetes reads it. No cluster is there to try it on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import instar
import instar.fleet
from conftest import QemuImg

client = pytest.importorskip("kubernetes.client", reason="the client of Kubernetes is not installed")


def job(plan: Path, place: Path) -> Any:
    """The manifest as an object of the client; it ignores what it does not know, so that it must come back whole."""
    words = ["fleet", "script", "--kubernetes", "--image=registry.example/instar:1", f"--claim=images:{place}", plan]
    text = subprocess.run([instar.program(), *words], capture_output=True, check=True).stdout.decode()
    found = client.ApiClient().deserialize(text, "V1Job", "application/json")
    assert client.ApiClient().sanitize_for_serialization(found) == json.loads(text)
    return found


def test_a_job_is_one_of_kubernetes_and_its_pods_may_do_nothing_else(qemu_img: QemuImg, place: Path) -> None:
    os.mkdir("out")
    for number in range(5):
        qemu_img.run("create", "-q", "-f", "qcow2", f"{number}.qcow2", f"{number + 1}M")
    plan = instar.fleet.plan([f"{n}.qcow2" for n in range(5)], "out", place / "plan.jsonl", in_flight=2)
    found = job(plan, place)
    assert (found.api_version, found.kind) == ("batch/v1", "Job")
    spec, pod = found.spec, found.spec.template.spec
    assert (spec.completion_mode, spec.completions, spec.parallelism) == ("Indexed", 5, 2)
    assert spec.backoff_limit_per_index >= 1
    exits = {rule.action: rule.on_exit_codes for rule in spec.pod_failure_policy.rules}
    refused = exits["FailIndex"]
    assert (refused.operator, refused.values, refused.container_name) == ("In", [1], pod.containers[0].name)
    conditions = [rule.on_pod_conditions for rule in spec.pod_failure_policy.rules if rule.action == "Ignore"]
    assert [each.type for each in conditions[0]] == ["DisruptionTarget"]
    # Kubernetes takes a policy for failures of pods with this alone.
    assert pod.restart_policy == "Never"
    assert pod.automount_service_account_token is False
    assert pod.security_context.run_as_non_root is True and pod.security_context.run_as_user
    assert pod.security_context.seccomp_profile.type == "RuntimeDefault"
    (container,) = pod.containers
    rights = container.security_context
    assert rights.read_only_root_filesystem is True and rights.allow_privilege_escalation is False
    assert rights.capabilities.drop == ["ALL"] and not rights.capabilities.add
    assert container.resources.limits["memory"] and container.image == "registry.example/instar:1"
    claims = {volume.name: volume.persistent_volume_claim.claim_name for volume in pod.volumes}
    assert {claims[mount.name]: mount.mount_path for mount in container.volume_mounts} == {"images": str(place)}
    # What a pod runs, in the environment that the controller gives to the one with index 3.
    command = [instar.program(), *container.args]
    subprocess.run(command, env={**os.environ, "JOB_COMPLETION_INDEX": "3"}, check=True)
    states = [item.state for item in instar.fleet.status(plan).list]
    assert states == ["waiting"] * 3 + ["done"] + ["waiting"]
