"""Loading weights: folders first, one line that names what is missing, and the cost in the log."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from dilu import LoadError, models

has_transformers = (
    importlib.util.find_spec("transformers") is not None and importlib.util.find_spec("torch") is not None
)
needs_transformers = pytest.mark.skipif(not has_transformers, reason="torch and transformers are not installed")


class Tokenizer:
    """Stands for what has no weights."""

    def __init__(self, source: str, options: dict[str, Any]) -> None:
        self.source = source
        self.options = options

    @classmethod
    def from_pretrained(cls, source: str, **options: Any) -> Tokenizer:
        return cls(source, options)


class Model(Tokenizer):
    """Stands for what has weights."""

    def state_dict(self) -> dict[str, Any]:
        return {}


class Missing:
    @classmethod
    def from_pretrained(cls, source: str) -> None:
        raise OSError(f"{source} has no config.json\nand much more text")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "weights"
    found.mkdir()
    (found / "config.json").write_text("{}")
    (found / "model.safetensors").write_bytes(b"x" * 2_000_000)
    (found / "pytorch_model.bin").write_bytes(b"x" * 9_000_000)
    return found


def test_a_folder_is_loaded_by_its_absolute_path_with_the_options(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    loaded = models.from_pretrained(Tokenizer, "weights", revision="main")
    assert (loaded.source, loaded.options) == (str(folder), {"revision": "main"})


def test_a_folder_wins_over_an_id_of_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent.parent)
    assert models.from_pretrained(Tokenizer, f"{folder.parent.name}/weights").source == str(folder)


@pytest.mark.parametrize("hub_id", ["gpt2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_what_is_no_folder_but_may_be_an_id_is_left_to_the_hub(
    hub_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert models.from_pretrained(Tokenizer, hub_id).source == hub_id


@pytest.mark.parametrize("path", ["./weights", "../weights", "/srv/no/weights", "a/b/c", "~/no-such-weights", "name/"])
def test_a_path_that_is_not_there_is_named(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LoadError, match="no such folder") as raised:
        models.from_pretrained(Model, path)
    assert str(Path(path).expanduser().absolute()) in str(raised.value)
    assert repr(path) in str(raised.value)


def test_a_path_object_is_never_an_id(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"no such folder \(given 'gpt2'"):
        models.from_pretrained(Model, Path("gpt2"))


def test_a_file_is_refused_with_the_way_out(folder: Path) -> None:
    with pytest.raises(LoadError, match=r"model\.safetensors: is a file; pass the folder"):
        models.from_pretrained(Model, folder / "model.safetensors")


def test_a_folder_that_holds_no_model_is_named_with_the_reason_in_one_line(folder: Path) -> None:
    with pytest.raises(LoadError) as raised:
        models.from_pretrained(Missing, folder)
    assert str(raised.value) == f"Missing: {folder} cannot be loaded: {folder} has no config.json"


def test_an_id_that_is_not_available_says_where_it_was_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LoadError, match=r"no-such/model is not a folder.*HF_HUB_OFFLINE is set.*the cache is /"):
        models.from_pretrained(Missing, "no-such/model")


def test_an_error_that_is_not_about_files_is_passed_on(folder: Path) -> None:
    class Broken:
        @classmethod
        def from_pretrained(cls, source: str) -> None:
            raise ValueError("the configuration is of another model")

    with pytest.raises(ValueError, match="another model"):
        models.from_pretrained(Broken, folder)


def test_the_log_tells_size_of_the_loaded_format_time_and_memory(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        models.from_pretrained(Model, folder)
    first, second = (record.getMessage() for record in caplog.records)
    assert first == f"loading Model from {folder}"
    assert re.fullmatch(
        r"loaded Model in \d+\.\d\d s: 2\.0 MB on disk, [\d.]+ [MG]B/s; memory \d+ MiB.* -> \d+ MiB.*", second
    )


def test_what_has_no_weights_is_given_no_rate(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        models.from_pretrained(Tokenizer, folder)
    assert "on disk" not in caplog.records[-1].getMessage()


def test_a_long_load_says_that_it_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = threading.Event()

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("still loading Slow after"):
                said.set()

    class Slow:
        @classmethod
        def from_pretrained(cls, source: str) -> bool:
            return said.wait(10)

    monkeypatch.setattr(models, "_PROGRESS_EVERY_S", 0.01)
    log, handler = logging.getLogger("dilu.models"), Seen()
    log.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO):
            assert models.from_pretrained(Slow, folder) is True
    finally:
        log.removeHandler(handler)
    assert "weights on disk: 2.0 MB" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "dilu-load-progress"]


def test_a_loader_may_be_named_with_its_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some.loaders", sys.modules[__name__])
    assert isinstance(models.from_pretrained("some.loaders:Model", folder), Model)


@pytest.mark.parametrize(
    ("loader", "text"),
    [
        ("some.loaders:NoSuch", "there is no NoSuch in some.loaders"),
        ("no_such_package:Model", "no_such_package is not installed: pip install no_such_package"),
        (int, "has no from_pretrained"),
    ],
)
def test_a_loader_that_is_none_is_named(loader: Any, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some.loaders", sys.modules[__name__])
    with pytest.raises(LoadError, match=text):
        models.from_pretrained(loader, folder)


def test_the_memory_of_this_process_is_told_without_importing_anything() -> None:
    code = """
        import sys
        from dilu import models
        before = set(sys.modules)
        memory = models.process_memory()
        assert memory.gpu_bytes is None
        assert 5 < models.memory_mib() < 500, memory
        assert set(sys.modules) == before
        assert not {"torch", "transformers", "numpy"} & before
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


def test_memory_that_is_taken_is_seen() -> None:
    before_mib = models.memory_mib()
    taken = bytearray(os.urandom(1024)) * (64 * 1024)
    assert models.memory_mib() - before_mib > 40
    assert len(taken) == 64 * 1024 * 1024


class Cuda:
    """Stands for torch.cuda of two GPUs."""

    def __init__(self, *, initialized: bool) -> None:
        self._initialized = initialized

    def is_initialized(self) -> bool:
        return self._initialized

    def device_count(self) -> int:
        return 2

    def memory_reserved(self, index: int) -> int:
        return (index + 1) * 1024 * 1024


@pytest.mark.parametrize(
    ("torch", "gpu_mib"),
    [
        (type("Torch", (), {"cuda": Cuda(initialized=True)}), 3.0),
        (type("Torch", (), {"cuda": Cuda(initialized=False)}), None),
        (type("HalfImported", (), {}), None),
    ],
    ids=["used", "not used", "half imported"],
)
def test_memory_of_gpus_is_what_torch_reserved_if_it_uses_them(
    torch: Any, gpu_mib: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert models.process_memory().gpu_bytes == (None if gpu_mib is None else gpu_mib * 1024 * 1024)


@needs_transformers
def test_a_model_of_transformers_is_loaded_by_name_from_a_folder_and_a_missing_id_fails_offline(tmp_path: Path) -> None:
    code = """
        import logging, sys
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        from dilu import LoadError, models
        from transformers import GPT2Config, GPT2LMHeadModel
        GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=16)).save_pretrained("tiny")
        model = models.from_pretrained("AutoModelForCausalLM", "tiny")
        assert type(model) is GPT2LMHeadModel
        try:
            models.from_pretrained("AutoModel", "no-such/model")
        except LoadError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert "imported" in done.stdout or "loading AutoModelForCausalLM" in done.stdout
    assert re.search(r"loaded AutoModelForCausalLM in \S+ s: 0\.0 MB on disk", done.stdout)
    assert "no-such/model is not a folder" in done.stdout
    assert f"the cache is {tmp_path / 'cache' / 'hub'}" in done.stdout
    assert "Loading weights" not in done.stderr
