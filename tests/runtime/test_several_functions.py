"""Several functions in one replica, the context that a handler asks for, and items that fail alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from replica_process import ServeFunction, wait_until

TWO = """
    import dilu

    @dilu.function(batch=4)
    def double(xs: list[int]):
        return [2 * x for x in xs]

    @dilu.function(slo_ms=100)
    class Shout:
        def load(self):
            self.mark = "!"
        def predict(self, text: str) -> str:
            return text.upper() + self.mark
"""


def test_each_function_has_its_path(shared_function: ServeFunction) -> None:
    replica = shared_function(TWO)
    assert replica.post(4, "/double").json() == 8
    assert replica.post("hi", "/shout").json() == "HI!"
    answer = replica.post(4, "/")
    assert answer.status == 404
    assert "/double or /shout" in answer.json()["error"]["message"]
    assert replica.request("GET", "/double").status == 405


def test_each_function_has_its_numbers(serve_function: ServeFunction) -> None:
    replica = serve_function(TWO)
    replica.post(4, "/double")
    replica.post("hi", "/shout")
    replica.post(5, "/shout")
    stats = replica.stats()
    assert stats["totals"]["requests"] == 3
    assert stats["functions"]["double"]["totals"]["completed"] == 1
    assert stats["functions"]["shout"]["totals"]["slo_met"] == 1
    metrics = replica.metrics()
    assert 'dilu_requests_total{code="200",function="double"} 1.0' in metrics
    assert 'dilu_requests_total{code="422",function="shout"} 1.0' in metrics
    assert metrics.count("# TYPE dilu_requests_total") == 1
    assert "dilu_memory_bytes" in metrics


def test_a_function_that_cannot_load_takes_the_replica_with_it(serve_function: ServeFunction) -> None:
    source = TWO.replace('self.mark = "!"', 'raise OSError("no weights")')
    replica = serve_function(source, wait=False)
    event = replica.wait_for("failed")
    assert (event["phase"], event["error"]) == ("load", "OSError: no weights")
    assert replica.wait() == 1


CONTEXT = """
    import dilu

    @dilu.function
    def single(x: int, ctx: dilu.Context):
        has_time = None if ctx.deadline_s is None else ctx.remaining_s() > 0
        return [x, ctx.request_id, ctx.urgency, ctx.cancelled, has_time]

    @dilu.function(batch=4, example=1)
    async def batched(xs: list[int], *, ctx):
        return [[x, one.request_id, one.traceparent] for x, one in zip(xs, ctx)]
"""


def test_a_handler_gets_the_context_that_it_asks_for(shared_function: ServeFunction) -> None:
    replica = shared_function(CONTEXT)
    headers = {"X-Request-Id": "abc", "Priority": "u=1, i", "X-Request-Timeout-Ms": "5000"}
    assert replica.post(1, "/single", headers).json() == [1, "abc", 1, False, True]
    assert replica.post(1, "/single", {"X-Request-Id": "d", "Priority": "u=9"}).json() == [1, "d", 3, False, None]
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert replica.post(1, "/batched", {"X-Request-Id": "e", "traceparent": trace}).json() == [1, "e", trace]


ITEMS = """
    import dilu

    @dilu.function(batch=8, max_wait_ms=1000)
    def root(xs: list[float]):
        results = []
        for x in xs:
            if x < 0:
                results.append(dilu.ItemError("has no real root", field="$", status=422, code="negative"))
            elif x > 1e6:
                results.append(OverflowError("secret"))
            else:
                results.append(x ** 0.5)
        return results

    @dilu.function
    def single(x: float):
        if x < 0:
            raise dilu.ItemError("has no real root")
        return x ** 0.5
"""


def test_an_item_fails_alone(serve_function: ServeFunction) -> None:
    replica = serve_function(ITEMS)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: replica.post(x, "/root"), [4, -1, 9, 1e9, 16, -2, 25, 36]))
    assert [answer.status for answer in answers] == [200, 422, 200, 500, 200, 422, 200, 200]
    error = answers[1].json()["error"]
    assert (error["code"], error["message"], error["field"]) == ("negative", "has no real root", "$")
    assert "secret" not in answers[3].body.decode()
    wait_until(lambda: "OverflowError: secret" in replica.log(), "the log has the error")


def test_a_single_handler_raises_what_its_client_is_told(serve_function: ServeFunction) -> None:
    replica = serve_function(ITEMS)
    answer = replica.post(-1, "/single")
    assert (answer.status, answer.json()["error"]["code"]) == (422, "bad-item")
    assert "Traceback" not in replica.log()
