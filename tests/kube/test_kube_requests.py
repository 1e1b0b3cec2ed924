"""What the client sends, and the exceptions for what it gets."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import certifi
import pytest
from aiohttp import web
from kubernetes.aio.config import incluster_config

from dilu.errors import ConfigError
from dilu_kube.api_connection import connection_of
from dilu_kube.client import (
    JSON_PATCH,
    MERGE_PATCH,
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    KubeClient,
    KubeError,
    NotFound,
    Refused,
    Unreachable,
)
from dilu_kube.objects import ConfigMap
from dilu_kube.resources import CONFIG_MAPS, DEPLOYMENTS
from kube.fake_api_server import (
    PATH,
    ApiServer,
    Run,
    Script,
    answering,
    config_map,
    hang_up,
    line,
    silent,
    status,
    streaming,
)

REFUSALS = [
    (403, status(403, "Forbidden", 'cannot get resource "configmaps"'), Forbidden, "get PATH: 403 cannot get resource"),
    (404, status(404, "NotFound", "not found"), NotFound, "get PATH: 404 not found"),
    (409, status(409, "Conflict", "has been modified"), Conflict, "get PATH: 409 has been modified"),
    (409, status(409, "AlreadyExists", "already exists"), AlreadyExists, "get PATH: 409 already exists"),
    (410, status(410, "Expired", "too old"), Gone, "get PATH: 410 too old"),
    (429, status(429, "TooManyRequests", "slow down"), Refused, "get PATH: 429 slow down"),
    (500, "a proxy says\nno", Refused, "get PATH: 500 a proxy says no"),
    (503, "", Refused, "get PATH: 503 (no message)"),
    (301, "", Refused, "get PATH: 301 (no message)"),
]


@pytest.mark.parametrize(("code", "body", "wanted", "message"), REFUSALS)
def test_a_refusal_names_verb_path_status_and_the_servers_words(
    run: Run, code: int, body: object, wanted: type[KubeError], message: str
) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        server.next("GET", answering(code, body))
        with pytest.raises(KubeError) as caught:
            await client.get(CONFIG_MAPS, "ns", "a", type=ConfigMap)
        assert type(caught.value) is wanted
        assert str(caught.value).startswith(message.replace("PATH", f"{PATH}/a"))
        assert caught.value.status == code
        await client.close()

    run(main)


def test_the_server_says_how_long_to_wait(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        server.next("POST", answering(429, status(429, "TooManyRequests", "slow down"), **{"Retry-After": "3"}))
        server.next("POST", answering(500, status(500, "ServerTimeout", "later", retryAfterSeconds=4)))
        for wanted_s in (3, 4):
            with pytest.raises(Refused) as caught:
                await client.create(CONFIG_MAPS, "ns", config_map("a", 0))
            assert caught.value.retry_after_s == wanted_s
        assert len(server.asked("POST")) == 2
        await client.close()

    run(main)


def test_writes_go_out_as_they_are(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client(user_agent="dilu-agent")
        await client.create(CONFIG_MAPS, "ns", {"data": {"a": "b"}})
        await client.replace(CONFIG_MAPS, "ns", "a", {"data": {}}, subresource="status")
        scale = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
        await client.patch(DEPLOYMENTS, "ns", "a", scale, content_type=JSON_PATCH, subresource="scale")
        await client.patch(CONFIG_MAPS, "ns", "a", {"data": None}, content_type=MERGE_PATCH)
        await client.delete(CONFIG_MAPS, "ns", "a")
        seen = [(one.method, one.path, one.body, one.headers["Content-Type"]) for one in server.requests]
        assert seen == [
            ("POST", PATH, {"data": {"a": "b"}}, "application/json"),
            ("PUT", f"{PATH}/a/status", {"data": {}}, "application/json"),
            ("PATCH", "/apis/apps/v1/namespaces/ns/deployments/a/scale", scale, "application/json-patch+json"),
            ("PATCH", f"{PATH}/a", {"data": None}, "application/merge-patch+json"),
            ("DELETE", f"{PATH}/a", None, "application/json"),
        ]
        assert server.requests[0].headers["User-Agent"] == "dilu-agent"
        await client.close()

    run(main)


def test_a_patch_of_the_wrong_form_is_not_sent(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        with pytest.raises(ValueError, match="json-patch"):
            await client.patch(CONFIG_MAPS, "ns", "a", {}, content_type=JSON_PATCH)
        with pytest.raises(ValueError, match="merge-patch"):
            await client.patch(CONFIG_MAPS, "ns", "a", [], content_type=MERGE_PATCH)
        assert not server.requests
        await client.close()

    run(main)


def test_a_list_is_read_page_by_page(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        server.max_page = 2
        for name in "abcde":
            server.put_map(name)
        client = await server.client()
        found = await client.list(CONFIG_MAPS, "ns", type=ConfigMap, label_selector="a=b,c in (d, e)")
        assert [one.metadata.name for one in found.items] == list("abcde")
        assert found.resource_version == "105"
        assert [one.query.get("continue") for one in server.requests] == [None, "2", "4"]
        assert {one.query["labelSelector"] for one in server.requests} == {"a=b,c in (d, e)"}
        assert {one.query["limit"] for one in server.requests} == {"500"}
        await client.close()

    run(main)


def test_a_list_whose_pages_expired_is_read_at_once(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        for name in "abc":
            server.put_map(name)
        client = await server.client()
        first = {"metadata": {"resourceVersion": "1", "continue": "x"}, "items": [config_map("old", 1)]}
        server.next("list", answering(200, first), answering(410, status(410, "Expired", "continue token too old")))
        found = await client.list(CONFIG_MAPS, "ns", type=ConfigMap)
        assert [one.metadata.name for one in found.items] == list("abc")
        assert "limit" not in server.requests[-1].query
        await client.close()

    run(main)


async def collected(client: KubeClient, *, timeout_s: float = 300, quiet_s: float = 90) -> list[str]:
    """Return the kinds of a watch's events until it ends."""
    events = client.watch(CONFIG_MAPS, "ns", type=ConfigMap, resource_version="5", timeout_s=timeout_s, quiet_s=quiet_s)
    return [event.kind async for event in events]


def test_a_watch_asks_for_bookmarks_and_for_its_own_end_and_ends_with_the_stream(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        server.next("watch", streaming(line("ADDED", config_map("a", 6)), then="end"))
        assert await collected(client, timeout_s=100) == ["BOOKMARK", "ADDED"]
        [asked] = server.requests
        assert 100 <= int(asked.query["timeoutSeconds"]) <= 150
        assert asked.query["allowWatchBookmarks"] == "true"
        assert asked.query["resourceVersion"] == "5"
        await client.close()

    run(main)


def test_an_event_of_some_mib_arrives_whole(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        big = line("ADDED", config_map("a", 6, big="x" * 8 * 2**20))
        pieces = [big[at : at + 100_000] for at in range(0, len(big), 100_000)]
        server.next("watch", streaming(*pieces, line("DELETED", config_map("a", 7)), then="end"))
        sizes = [
            len(event.object.data.get("big", ""))
            async for event in client.watch(CONFIG_MAPS, "ns", type=ConfigMap, resource_version="5")
            if event.object is not None
        ]
        assert sizes == [8 * 2**20, 0]
        await client.close()

    run(main)


BROKEN_WATCHES = [
    (streaming(line("ADDED", config_map("a", 6))[:-9], then="end"), Unreachable, "in the middle of an event"),
    (streaming(line("ADDED", config_map("a", 6)), then="break"), Unreachable, "(?i)payload|reset|closed"),
    (streaming(line("ADDED", config_map("a", 6))), Unreachable, "no answer within 0.2 s"),
    (streaming(b"<html>sorry</html>\n"), Refused, "not an event"),
    (streaming(line("ERROR", status(410, "Expired", "too old"))), Gone, "410 too old"),
    (answering(410, status(410, "Expired", "too old")), Gone, "410 too old"),
    (answering(403, status(403, "Forbidden", "no")), Forbidden, "403 no"),
    (hang_up, Unreachable, "(?i)disconnected|reset"),
    (silent, Unreachable, "no answer within 1 s"),
]


@pytest.mark.parametrize(("script", "wanted", "message"), BROKEN_WATCHES)
def test_a_watch_that_breaks_says_how(run: Run, script: Script, wanted: type[KubeError], message: str) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client(request_s=1)
        server.next("watch", script, script)
        with pytest.raises(wanted, match=message) as caught:
            await collected(client, quiet_s=0.2)
        assert str(caught.value).startswith(f"watch {PATH}: ")
        await client.close()

    run(main)


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_is_never_sent_twice_and_reports_that_no_answer_came(run: Run, verb: str) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client(request_s=0.5)

        async def write() -> None:
            if verb == "POST":
                await client.create(CONFIG_MAPS, "ns", {})
            elif verb == "PUT":
                await client.replace(CONFIG_MAPS, "ns", "a", {})
            elif verb == "PATCH":
                await client.patch(CONFIG_MAPS, "ns", "a", {}, content_type=MERGE_PATCH)
            else:
                await client.delete(CONFIG_MAPS, "ns", "a")

        await write()  # so that the next one has a kept connection
        server.next(verb, hang_up)
        with pytest.raises(Unreachable):
            await write()
        assert len(server.asked(verb)) == 2
        server.next(verb, silent)
        with pytest.raises(Unreachable, match=r"no answer within 0\.5 s"):
            await write()
        assert len(server.asked(verb)) == 3
        await client.close()

    run(main)


def test_a_read_whose_kept_connection_broke_is_asked_again(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        server.next("GET", hang_up)
        assert (await client.get(CONFIG_MAPS, "ns", "a", type=ConfigMap)).metadata.name == "any"
        await client.close()

    run(main)


def test_a_port_without_listener_is_unreachable(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        await server.close()
        with pytest.raises(Unreachable, match=f"get {PATH}/a: .*Connect"):
            await client.get(CONFIG_MAPS, "ns", "a", type=ConfigMap)
        await client.close()

    run(main)


def test_proxies_and_passwords_of_the_environment_are_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main(server: ApiServer) -> None:
        netrc = server.kubeconfig.with_name("netrc")
        netrc.write_text("machine 127.0.0.1 login user password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        client = await server.client()
        await client.get(CONFIG_MAPS, "ns", "a", type=ConfigMap)
        assert "Authorization" not in server.requests[0].headers
        await client.close()

    run(main)


def test_a_proxy_of_the_kubeconfig_is_used(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        config = json.loads(server.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {
            "server": "http://kubernetes.invalid",
            "proxy-url": f"http://127.0.0.1:{server.port}",
        }
        server.kubeconfig.write_text(json.dumps(config))
        client = await server.client()
        await client.get(CONFIG_MAPS, "ns", "a", type=ConfigMap)
        assert server.requests[0].headers["Host"] == "kubernetes.invalid"
        await client.close()

    run(main)


def test_a_token_that_is_refused_is_read_again_once(run: Run) -> None:
    async def old_token_refused(server: ApiServer, request: web.Request) -> web.StreamResponse:
        server.write_kubeconfig(token="new")
        return web.json_response(status(401, "Unauthorized", "Unauthorized"), status=401)

    async def main(server: ApiServer) -> None:
        server.write_kubeconfig(token="old")
        client = await server.client()
        server.next("PATCH", old_token_refused)
        await client.patch(CONFIG_MAPS, "ns", "a", {"data": {}}, content_type=MERGE_PATCH)
        assert [one.headers["Authorization"] for one in server.requests] == ["Bearer old", "Bearer new"]
        server.next("PATCH", answering(401, status(401, "Unauthorized", "Unauthorized")))
        with pytest.raises(Refused, match="401 Unauthorized"):
            await client.patch(CONFIG_MAPS, "ns", "a", {"data": {}}, content_type=MERGE_PATCH)
        await client.close()

    run(main)


CONFIGS = [
    ("", "cannot be used"),
    ("{", "cannot be used"),
    ("[]", "cannot be used"),
    ("{}", "cannot be used"),
    ('{"current-context": "a", "contexts": []}', "Expected object with name a in"),
]


@pytest.mark.parametrize(("text", "message"), CONFIGS)
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        asyncio.run(KubeClient.connect(path))
    assert str(path) in str(caught.value)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"kubeconfig .*/none: no such file"):
        asyncio.run(KubeClient.connect(tmp_path / "none"))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a{os.pathsep}{tmp_path}/b")
    with pytest.raises(ConfigError, match=r"/a:.*/b: no such file"):
        asyncio.run(KubeClient.connect())


def test_without_kubeconfig_and_pod_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"service account.*set KUBECONFIG"):
        asyncio.run(KubeClient.connect())


def test_in_a_pod_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    token = tmp_path / "token"
    token.write_text("first")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", certifi.where())

    async def main() -> None:
        connection = await connection_of(None, "test")
        assert connection.api.configuration.host == "https://[fd00::1]:443"
        assert connection.api.configuration.client_session_kwargs["trust_env"] is False
        assert connection.reload is None  # the token is read again before each request, once a minute at most
        headers: dict[str, str] = {}
        await connection.api.update_params_for_auth(headers, [], ["BearerToken"], "/", "GET", None)
        assert headers == {"authorization": "bearer first"}
        assert connection.api.configuration.refresh_api_key_hook is not None

    asyncio.run(main())
