"""Whether an activator answers for a revision, asked once or until it does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from dilu.http.client.gets import GetClient
from dilu_autoscaler.knative.scraping.activator_probe import ActivatorProber, ProbeTarget, activator_answers
from knative.queue_proxies import always, answer, pods
from loops import Run, until


class LocalTarget(ProbeTarget):
    """A target whose Service is on this machine."""

    @property
    def host(self) -> str:
        return "127.0.0.1"


TARGET = LocalTarget(namespace="ns", service="rev")


def test_a_service_has_its_full_name() -> None:
    assert ProbeTarget(namespace="ns", service="rev", cluster_domain="example.org").host == "rev.ns.svc.example.org"


def test_only_an_activators_answer_counts(run: Run) -> None:
    cases = [
        (answer(b"activator"), True),
        (answer(b"queue"), False),
        (answer(b"activator\n"), False),
        (answer(b"activator", status=503), False),
        (b"nonsense", False),
    ]

    async def main() -> None:
        for sent, wanted in cases:
            async with pods(always(sent), "127.0.0.1") as seen:
                client = GetClient()
                assert await activator_answers(client, replace(TARGET, port=seen.port)) is wanted
                head = seen.requests[0][1]
                assert head.startswith("GET //healthz HTTP/1.1\r\n")
                for header in (
                    f"Host: 127.0.0.1:{seen.port}",
                    "User-Agent: Knative-Autoscaling-Probe",
                    "K-Network-Probe: activator",
                    "Connection: close",
                ):
                    assert f"\r\n{header}\r\n" in head
                await client.close()

    run(main)


def test_without_a_service_nothing_is_probed(run: Run) -> None:
    async def main() -> None:
        client = GetClient()
        assert not await activator_answers(client, ProbeTarget(namespace="ns", service=""))
        await client.close()

    run(main)


def test_probes_go_on_until_an_activator_answers(run: Run) -> None:
    done: list[tuple[str, bool]] = []

    async def main() -> None:
        async with pods(lambda _, before: answer(b"activator" if before == 2 else b"queue"), "127.0.0.1") as seen:
            client = GetClient()
            prober = ActivatorProber(client, lambda key, ok: done.append((key, ok)), period_s=0.001)
            target = replace(TARGET, port=seen.port)
            assert prober.offer("ns/rev", target)
            assert not prober.offer("ns/rev", target)
            await until(lambda: bool(done))
            assert (done, len(seen.requests)) == ([("ns/rev", True)], 3)
            assert prober.offer("ns/rev", target)
            await prober.close()
            await client.close()

    run(main)


def test_probes_end_when_their_time_is_over(run: Run) -> None:
    done: list[tuple[str, bool]] = []

    async def main() -> None:
        async with pods(lambda _, __: None, "127.0.0.1") as seen:
            client = GetClient()
            prober = ActivatorProber(client, lambda key, ok: done.append((key, ok)), max_probing_s=0.05)
            prober.offer("ns/rev", replace(TARGET, port=seen.port))
            await until(lambda: bool(done))
            assert done == [("ns/rev", False)]
            await client.close()

    run(main)


def test_closing_ends_all_probes_without_a_word(run: Run) -> None:
    done: list[tuple[str, bool]] = []

    async def main() -> None:
        async with pods(lambda _, __: answer(b"queue"), "127.0.0.1") as seen:
            client = GetClient()
            prober = ActivatorProber(client, lambda key, ok: done.append((key, ok)), period_s=60.0)
            prober.offer("ns/rev", replace(TARGET, port=seen.port))
            await seen.asked.wait()
            await asyncio.sleep(0)
            await prober.close()
            await client.close()
            assert done == []

    run(main)
