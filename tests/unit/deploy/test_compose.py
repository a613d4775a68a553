"""compose.yaml: valid for the Compose specification, and as closed as it is meant to be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def interpolated(node: Any) -> Any:
    """``node`` with every `${NAME:-default}` as its default, as Compose reads it."""
    if isinstance(node, dict):
        return {key: interpolated(value) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value) for value in node]
    return VARIABLE.sub(r"\2", node) if isinstance(node, str) else node


@pytest.fixture(scope="module")
def compose() -> Any:
    return interpolated(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def test_it_is_valid(compose: Any) -> None:
    services = PyCompose.from_json(json.dumps(compose)).service_names()
    assert sorted(services) == ["plans", "prometheus", "server"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.update(service={}),
        lambda c: c["services"]["server"].update(healthchek={}),
        lambda c: c["services"]["server"].update(ports=["grpc:8001"]),
        lambda c: c["services"]["server"]["depends_on"]["plans"].update(condition="done"),
    ],
)
def test_the_validator_would_find_a_fault(spoil: Callable[[Any], None], compose: Any) -> None:
    spoilt = deepcopy(compose)
    spoil(spoilt)
    with pytest.raises(ValueError, match=r"x-|parsing|unknown variant"):
        PyCompose.from_json(json.dumps(spoilt))


def test_the_server_waits_for_the_plans(compose: Any) -> None:
    server, plans = compose["services"]["server"], compose["services"]["plans"]
    assert server["depends_on"] == {"plans": {"condition": "service_completed_successfully"}}
    assert "plans:/plans:ro" in server["volumes"]
    assert "plans:/plans" in plans["volumes"]
    assert server["shm_size"] == "4gb"
    # Plans are made on the GPU, in the precision and of the repository that are served.
    for key in ("deploy", "user"):
        assert server[key] == plans[key]
    assert server["environment"]["MQSPN_PRECISION"] == plans["environment"]["MQSPN_PRECISION"]
    assert (
        server["volumes"][0]
        == plans["volumes"][0]
        == {
            "type": "bind",
            "source": "../model_repository",
            "target": "/models",
            "read_only": True,
            "bind": {"create_host_path": False},
        }
    )
    (device,) = server["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}


def test_nothing_is_open_that_need_not_be(compose: Any) -> None:
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]
        assert not service.get("privileged")
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert compose["services"]["server"]["user"] == "1000:1000"
    assert compose["services"]["plans"]["network_mode"] == "none"
    written = [
        volume
        for service in compose["services"].values()
        for volume in service["volumes"]
        if not (volume["read_only"] if isinstance(volume, dict) else volume.endswith(":ro"))
    ]
    assert written == ["plans:/plans", "prometheus:/prometheus"]


def test_every_image_has_a_version(compose: Any) -> None:
    for service in compose["services"].values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


def test_it_builds_the_dockerfiles_images(compose: Any, stages: dict[str, Any]) -> None:
    for name in ("plans", "server"):
        build = compose["services"][name]["build"]
        assert build["target"] == name
        assert build["args"] == {"TRITON_RELEASE": "26.07"}
        assert name in stages
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_the_health_check_is_the_images(compose: Any, stages: dict[str, Any]) -> None:
    (check,) = stages["server"].values("HEALTHCHECK")
    assert ["CMD", *json.loads(check.partition("CMD ")[2])] == compose["services"]["server"][
        "healthcheck"
    ]["test"]
    assert stages["plans"].values("HEALTHCHECK") == ["NONE"]


def test_prometheus_reads_the_server(compose: Any) -> None:
    scraping = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    (job,) = scraping["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["server:8002"]}]
    assert "8002" in compose["services"]["server"]["expose"]
    volumes = compose["services"]["prometheus"]["volumes"]
    assert "./prometheus.yml:/etc/prometheus/prometheus.yml:ro" in volumes


def test_the_posts_go_to_the_init_step_alone() -> None:
    text = (DEPLOY / "compose.posts.yaml").read_text()
    comments, _, rest = text.partition("\nservices:")
    named = set(re.findall(r"MQSPN_\w+", comments))
    assert set(re.findall(r"\$\{(\w+)", rest)) <= named
    given = re.sub(r"\$\{MQSPN_POSTS:\?[^}]*\}", "./posts", text)
    over = interpolated(yaml.safe_load(given))
    PyCompose.from_json(json.dumps({**over, "name": "mqspn"}))
    (plans,) = over["services"].values()
    assert plans["command"].split() == ["plans", "--check-entities=/posts", "--settings=base"]
    (volume,) = plans["volumes"]
    assert volume["read_only"] is True


def test_every_setting_has_a_default_and_is_named_at_the_top() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    comments, _, _ = text.partition("\nname:")
    used = set(re.findall(r"\$\{?(\w+)", text))
    assert used == {name for name, _ in VARIABLE.findall(text)}
    assert used <= set(re.findall(r"\w+", comments))
