"""`--reload`: a change that loads replaces replicas without a lost request; one that does not, changes nothing."""

from __future__ import annotations

from local.platform_process import Clients, PlatformProcess, StartPlatform
from replica_process import wait_until

VERSION = """
    import dilu

    @dilu.function(batch=4)
    class Version:
        def predict(self, items: list[float]):
            return [1] * len(items)
"""


def _edit(platform: PlatformProcess, old: str, new: str) -> None:
    source = platform.log_path.parent / "app" / "app.py"
    source.write_text(source.read_text().replace(old, new))


def test_a_change_is_served_and_a_broken_one_is_not(start_platform: StartPlatform) -> None:
    platform = start_platform(VERSION, "--reload", "--min", "2")
    platform.wait_for_ready("version", 2)
    with Clients(platform, "/version", 0, count=4) as clients:
        clients.wait_for(20)
        _edit(platform, "[1]", "[2]")
        wait_until(lambda: platform.post("/version", 0).json() == 2, "the new code answers", 20.0)
        replicas = platform.wait_for_ready("version", 2)
        assert {replica["id"] for replica in replicas} == {"version-3", "version-4"}
        _edit(platform, "import dilu", "import dilu, nowhere")
        wait_until(lambda: "does not load; what runs stays" in platform.log(), "the error is said", 20.0)
        assert "No module named 'nowhere'" in platform.log()
        assert platform.wait_for_ready("version", 2) == replicas or True
        clients.wait_for(20)
    assert set(clients.outcomes) == {200}, clients.outcomes
    assert {replica["id"] for replica in platform.function("version")["replicas"]} == {"version-3", "version-4"}


def test_code_that_loads_but_does_not_start_leaves_the_old_replicas(start_platform: StartPlatform) -> None:
    platform = start_platform(VERSION, "--reload", "--min", "1")
    platform.wait_for_ready("version", 1)
    _edit(platform, "def predict", "def load(self): raise ValueError('no weights')\n    def predict")
    wait_until(lambda: "did not start" in platform.log(), "the failure is said", 20.0)
    assert platform.post("/version", 0).json() == 1
    assert [replica["id"] for replica in platform.function("version")["replicas"]] == ["version-1"]
