"""What a process is told by its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from dilu.errors import ConfigError
from dilu_autoscaler.knative.configuration.process_settings import (
    Mode,
    ProcessSettings,
    cluster_domain,
    map_names,
    mode_named,
    required,
)


@pytest.mark.parametrize(
    ("resolv_conf", "domain"),
    [
        ("search shop.svc.corp.example svc.corp.example corp.example\nnameserver 10.0.0.10\n", "corp.example"),
        ("nameserver 10.0.0.10\nsearch svc.cluster.local. cluster.local\n", "cluster.local"),
        ("search corp.example\n", "cluster.local"),
        ("search svc.\n", "cluster.local"),
        ("# search svc.wrong\n;search svc.wrong\n", "cluster.local"),
        ("\tsearch\tsvc.tabs.example\n", "tabs.example"),
        ("", "cluster.local"),
    ],
)
def test_the_cluster_s_domain_is_what_the_pod_s_resolver_searches(
    tmp_path: Path, resolv_conf: str, domain: str
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(resolv_conf)
    assert cluster_domain({}, path) == domain
    assert cluster_domain({"CLUSTER_DOMAIN": "said.example"}, path) == "said.example"
    assert cluster_domain({"CLUSTER_DOMAIN": ""}, path) == domain


def test_a_machine_without_a_resolver_has_the_usual_domain(tmp_path: Path) -> None:
    assert cluster_domain({}, tmp_path / "none") == "cluster.local"
    (tmp_path / "bytes").write_bytes(b"search svc.\xff\xfe.example\n")
    assert cluster_domain({}, tmp_path / "bytes").endswith(".example")


def test_the_maps_have_stock_s_names_unless_the_environment_says_others() -> None:
    names = map_names({"CONFIG_LOGGING_NAME": "logs", "CONFIG_OBSERVABILITY_NAME": "", "PATH": "/bin"})
    assert names["logs"] == "config-logging"
    assert "config-logging" not in names
    assert names["config-observability"] == "config-observability"
    assert names["config-autoscaler"] == "config-autoscaler"
    assert len(names) == 6


def test_a_variable_that_must_be_there_is_named() -> None:
    assert required({"POD_IP": "10.0.0.1"}, "POD_IP") == "10.0.0.1"
    for environment in ({}, {"POD_IP": ""}):
        with pytest.raises(ConfigError, match=r"^\$POD_IP is not set; in a pod it comes from the Deployment"):
            required(environment, "POD_IP")


def test_modes_are_known_by_name_and_only_observing_writes_nothing() -> None:
    assert [mode_named(name).writes for name in ("replace", "coexist", "observe")] == [True, True, False]
    with pytest.raises(ConfigError, match="mode = 'watch', must be one of: replace, coexist, observe"):
        mode_named("watch")


def test_the_identity_is_as_a_lease_has_it() -> None:
    settings = ProcessSettings(pod_name="autoscaler-7d9c", pod_ip="fd00::7", mode=Mode.REPLACE)
    assert settings.identity == "autoscaler-7d9c_fd00::7"
