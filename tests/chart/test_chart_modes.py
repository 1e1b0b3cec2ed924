"""What each mode makes, and what every pod of it looks like."""

from __future__ import annotations

import pytest

from chart.rendering import CHART, MODES, NAMESPACE, hooks_of, mode, one, pod_specs, refusal, rendered

CLUSTER_KINDS = {"ClusterRole", "ClusterRoleBinding"}
SELECTOR = {"app.kubernetes.io/name": "dilu-autoscaler", "app.kubernetes.io/instance": "dilu"}


@pytest.mark.parametrize(("name", "is_found"), [("replace", True), ("coexist", False), ("observe", False)])
def test_activators_find_our_pods_in_mode_replace_only(name: str, is_found: bool) -> None:
    labels = one(rendered(mode(name)), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert (labels.get("app") == "autoscaler") is is_found


@pytest.mark.parametrize("name", MODES)
def test_no_mode_changes_the_selector(name: str) -> None:
    deployment = one(rendered(mode(name)), "Deployment")
    assert deployment["spec"]["selector"] == {"matchLabels": SELECTOR}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= SELECTOR.items()
    variables = {each["name"]: each.get("value") for each in container(deployment)["env"]}
    assert variables["DILU_AUTOSCALER_MODE"] == name


def container(deployment: dict) -> dict:  # type: ignore[type-arg]  # any JSON
    [found] = deployment["spec"]["template"]["spec"]["containers"]
    return found  # type: ignore[no-any-return]


def test_an_upgrade_never_has_fewer_pods() -> None:
    deployment = one(rendered(), "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    budget = one(rendered(), "PodDisruptionBudget")
    assert (budget["spec"]["minAvailable"], budget["spec"]["selector"]) == (1, {"matchLabels": SELECTOR})


def test_one_replica_has_no_disruption_budget_for_its_node_could_never_be_drained() -> None:
    assert not [each for each in rendered("--set=autoscaler.replicas=1") if each["kind"] == "PodDisruptionBudget"]


@pytest.mark.parametrize("name", MODES)
def test_all_is_made_in_the_serving_namespace_whatever_the_release_is_in(name: str) -> None:
    for each in rendered(mode(name), "--namespace=elsewhere", "--set=servingNamespace=serving"):
        want = None if each["kind"] in CLUSTER_KINDS else "serving"
        assert each["metadata"].get("namespace") == want, each["kind"]
        for subject in each.get("subjects", []):
            assert subject["namespace"] == "serving"


@pytest.mark.parametrize("name", MODES)
def test_each_pod_fits_the_restricted_security_level(name: str) -> None:
    specs = dict(pod_specs(rendered(mode(name))))
    assert {"Deployment/dilu-autoscaler", "Job/dilu-takeover-check", "Pod/dilu-autoscaler-check"} <= set(specs)
    for spec in specs.values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 65532
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in spec["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert each["resources"]["limits"]["memory"]


def test_the_pod_is_what_knatives_service_and_leases_expect() -> None:
    found = container(one(rendered(), "Deployment"))
    assert found["command"] == ["dilu", "autoscaler"]
    assert {each["name"]: each["containerPort"] for each in found["ports"]} == {"http": 8080, "http-metrics": 9090}
    assert found["readinessProbe"]["httpGet"] == found["livenessProbe"]["httpGet"] == {"port": "http"}
    fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in found["env"] if "valueFrom" in each}
    assert fields == {
        "POD_NAME": "metadata.name",
        "POD_IP": "status.podIP",
        "SYSTEM_NAMESPACE": "metadata.namespace",
    }


HOOKS = {
    "replace": {
        "check": {"pre-install", "pre-upgrade"},
        "take": {"post-install", "post-upgrade", "post-rollback"},
        "leave": {"pre-delete"},
    },
    "coexist": {
        "check": {"pre-install", "pre-upgrade"},
        "restore": {"pre-upgrade", "pre-rollback"},
        "leave": {"pre-delete"},
    },
    "observe": {"check": {"pre-install", "pre-upgrade"}, "leave": {"pre-upgrade", "pre-rollback"}},
}


@pytest.mark.parametrize("name", MODES)
def test_the_hooks_of_each_mode(name: str) -> None:
    jobs = [each for each in rendered(mode(name)) if each["kind"] == "Job"]
    found = {job["spec"]["template"]["spec"]["containers"][0]["command"][-1]: hooks_of(job) for job in jobs}
    assert found == HOOKS[name]


def test_a_stock_that_others_scale_is_left_alone_and_restored_all_the_same() -> None:
    jobs = {each["metadata"]["name"] for each in rendered("--set=takeover.scaleStock=false") if each["kind"] == "Job"}
    assert jobs == {"dilu-takeover-check", "dilu-takeover-leave"}


@pytest.mark.parametrize("name", MODES)
def test_each_job_has_its_account_and_its_rights_whenever_it_runs(name: str) -> None:
    manifests = rendered(mode(name))
    account = hooks_of(one(manifests, "ServiceAccount", "dilu-takeover"))
    writes = hooks_of(one(manifests, "Role", "dilu-takeover-write"))
    assert writes == hooks_of(one(manifests, "RoleBinding", "dilu-takeover-write"))
    for job in (each for each in manifests if each["kind"] == "Job"):
        assert job["spec"]["template"]["spec"]["serviceAccountName"] == "dilu-takeover"
        assert hooks_of(job) <= account
        if not job["metadata"]["name"].endswith("-check"):
            assert hooks_of(job) <= writes


def test_the_hooks_of_observe_can_write_at_an_upgrade_only() -> None:
    role = one(rendered(mode("observe")), "Role", "dilu-takeover-write")
    assert hooks_of(role) == {"pre-upgrade", "pre-rollback"}


def test_a_job_ends_before_its_steps_could_outlast_it() -> None:
    [job] = [
        each
        for each in rendered("--set=takeover.timeoutSeconds=50")
        if each["metadata"]["name"] == "dilu-takeover-take"
    ]
    assert job["spec"]["activeDeadlineSeconds"] >= 3 * 50
    [found] = job["spec"]["template"]["spec"]["containers"]
    assert f"--namespace={NAMESPACE}" in found["args"]
    assert "--timeout=50" in found["args"]


def test_values_reach_the_pod() -> None:
    manifests = rendered("-f", str(CHART / "ci/everything-values.yaml"))
    spec = one(manifests, "Deployment")["spec"]["template"]["spec"]
    [found] = spec["containers"]
    assert (found["image"], found["imagePullPolicy"]) == ("registry.example.com/dilu-autoscaler:0.1.0", "Always")
    assert found["args"] == ["--policy=dilu-paper"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert spec["priorityClassName"] == "system-cluster-critical"
    rule = one(manifests, "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    alerts = [each["alert"] for each in rule["spec"]["groups"][0]["rules"]]
    assert alerts == ["DiluStockHoldsTheLease", "DiluLeaseHasNoHolder", "DiluAutoscalerSilent"]


def test_names_that_look_like_numbers_stay_names() -> None:
    numbers = ("--set-string=autoscaler.priorityClassName=100", "--set-string=autoscaler.image.pullSecrets[0]=42")
    manifests = rendered(*numbers)
    assert one(manifests, "Deployment")["spec"]["template"]["spec"]["priorityClassName"] == "100"
    assert {name: pod["imagePullSecrets"] for name, pod in pod_specs(manifests)} == {
        name: [{"name": "42"}] for name, _ in pod_specs(manifests)
    }


def test_a_recording_goes_to_the_volume_that_was_given_and_else_there_is_none() -> None:
    pod = one(rendered("--set=autoscaler.recording.persistentVolumeClaim.claimName=night"), "Deployment")
    spec, runs = pod["spec"]["template"]["spec"], container(pod)
    assert {"name": "recording", "persistentVolumeClaim": {"claimName": "night"}} in spec["volumes"]
    assert {"name": "recording", "mountPath": "/recording"} in runs["volumeMounts"]
    assert {"name": "DILU_AUTOSCALER_RECORD", "value": "/recording"} in runs["env"]
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsUser"]  # so that it may write there
    assert "recording" not in str(one(rendered(), "Deployment"))


def test_an_alert_on_stocks_lease_does_not_go_with_observing() -> None:
    said = refusal(mode("observe"), "--set=monitoring.prometheusRule.enabled=true")
    assert "does not go with autoscaler.mode=observe" in said
