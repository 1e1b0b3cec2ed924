"""Loading model weights: heavy imports on demand, local folders first, and the cost in the log.

@dilu.function(batch=16)
class Embed:
    def load(self) -> None:
        self.tokenizer = dilu.models.from_pretrained("AutoTokenizer", "weights/minilm")
        self.model = dilu.models.from_pretrained("AutoModel", "weights/minilm").eval()
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dilu.errors import LoadError
from dilu.runtime.reporting.memory import MemoryUse, process_memory

__all__ = ["MemoryUse", "from_pretrained", "memory_mib", "process_memory", "timed_import"]

_log = logging.getLogger(__name__)
_MIB = 1024 * 1024
_PROGRESS_EVERY_S = 5.0
_LOGGED_IMPORT_S = 0.1  # shorter imports are not logged
# A folder may hold the same weights in several formats; the first format in this order is loaded.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".npz")
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_BARS_VARIABLE = "HF_HUB_DISABLE_PROGRESS_BARS"


def memory_mib() -> float:
    """Return the resident memory of this process in MiB."""
    return process_memory().resident_bytes / _MIB


def timed_import(name: str) -> Any:
    """Import and return the module; an import of 0.1 s or more is logged with its duration.

    Raise `LoadError` that says what to install if there is no such module.
    """
    began_s = time.monotonic()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        extra = "'dilu[torch]'" if missing in ("torch", "transformers") else missing.partition(".")[0]
        raise LoadError(f"{name}: the module {missing} is not installed: pip install {extra}") from error
    took_s = time.monotonic() - began_s
    if took_s >= _LOGGED_IMPORT_S:
        _log.info("imported %s in %.1f s", name, took_s)
    return module


def from_pretrained(loader: Any, source: str | os.PathLike[str], **options: Any) -> Any:
    """Return `loader.from_pretrained(source, **options)`, and log the cost of loading it.

    `loader` is a class, the name of one in transformers ("AutoModel"), or "package.module:Class". `source` is a
    folder, relative to the working folder, or an id of the Hugging Face hub, which is taken from the cache that
    `HF_HOME` names and is downloaded unless `HF_HUB_OFFLINE=1`. A folder wins over an id of the same name.
    Raise `LoadError` that names what is missing.
    """
    cls = _loader(loader)
    folder = _local_folder(source)
    name = getattr(cls, "__name__", str(cls))
    where = str(source if folder is None else folder)
    before, began_s = _memory_text(), time.monotonic()
    _log.info("loading %s from %s", name, where)
    _quiet_progress_bars()
    with _progress(name, folder, began_s):
        try:
            loaded = cls.from_pretrained(str(source) if folder is None else str(folder), **options)
        except OSError as error:
            raise LoadError(_said(name, where, folder, error)) from error
    took_s = time.monotonic() - began_s
    size = _size_on_disk(loaded, folder or _cached_folder(str(source)))
    rate = "" if size is None else f": {_megabytes(size)} on disk, {_megabytes(size / max(took_s, 1e-9))}/s"
    _log.info("loaded %s in %.2f s%s; memory %s -> %s", name, took_s, rate, before, _memory_text())
    return loaded


def _loader(loader: Any) -> Any:
    if isinstance(loader, str):
        module, _, attribute = loader.rpartition(":")
        found = getattr(timed_import(module or "transformers"), attribute, None)
        if found is None:
            raise LoadError(f"{loader!r}: there is no {attribute} in {module or 'transformers'}")
        loader = found
    if not callable(getattr(loader, "from_pretrained", None)):
        raise LoadError(
            f"{loader!r}: has no from_pretrained; pass a class that has it, or its name, such as 'AutoModel'"
        )
    return loader


def _local_folder(source: str | os.PathLike[str]) -> Path | None:
    """Return the absolute folder that `source` names; None if it is an id of the hub. Raise `LoadError` if neither."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_file():
        raise LoadError(f"{path.resolve()}: is a file; pass the folder with the configuration and the weights")
    if isinstance(source, str) and _is_hub_id(source):
        return None
    raise LoadError(f"{path.absolute()}: no such folder (given {str(source)!r}, working folder {Path.cwd()})")


def _is_hub_id(source: str) -> bool:
    """Return whether it has the form `name` or `organisation/name`, as a relative folder may have, too."""
    parts = source.split("/")
    return len(parts) <= 2 and all(part and not part.startswith((".", "~")) and "\\" not in part for part in parts)


def _said(name: str, where: str, folder: Path | None, error: OSError) -> str:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if folder is not None:
        return f"{name}: {where} cannot be loaded: {reason}"
    offline = [variable for variable in _OFFLINE_VARIABLES if os.environ.get(variable, "0") not in ("", "0")]
    mode = f"{offline[0]} is set, so nothing is downloaded; " if offline else ""
    return (
        f"{name}: {where} is not a folder, and cannot be loaded as an id of the hub: {reason} "
        f"({mode}the cache is {_hub_cache()})"
    )


def _hub_cache() -> Path:
    constants = sys.modules.get("huggingface_hub.constants")
    known = getattr(constants, "HF_HUB_CACHE", None)
    return Path(known or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface", "hub")).expanduser()


def _cached_folder(hub_id: str) -> Path | None:
    """Return the folder in the hub's cache from which the id was just loaded, or None."""
    hub = sys.modules.get("huggingface_hub")
    with contextlib.suppress(Exception):  # only the size in the log depends on it
        config = hub.try_to_load_from_cache(hub_id, "config.json") if hub is not None else None
        return Path(config).parent if isinstance(config, str) else None
    return None


def _size_on_disk(loaded: Any, folder: Path | None) -> int | None:
    """Return the bytes of the weights, or None if it has no weights (a tokenizer)."""
    if folder is None or not callable(getattr(loaded, "state_dict", None)):
        return None
    return _weight_bytes(folder)


def _weight_bytes(folder: Path) -> int | None:
    files = [path for path in folder.iterdir() if path.is_file()]
    for suffix in _WEIGHTS:
        sizes = [path.stat().st_size for path in files if path.suffix == suffix]
        if sizes:
            return sum(sizes)
    return None


def _memory_text() -> str:
    memory = process_memory()
    gpu = "" if memory.gpu_bytes is None else f", GPU {memory.gpu_bytes / _MIB:.0f} MiB"
    return f"{memory.resident_bytes / _MIB:.0f} MiB{gpu}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


@contextlib.contextmanager
def _progress(name: str, folder: Path | None, began_s: float) -> Iterator[None]:
    """Log every few seconds that the load is still running."""
    done = threading.Event()
    size = None if folder is None else _weight_bytes(folder)
    on_disk = "" if size is None else f" (weights on disk: {_megabytes(size)})"

    def tell() -> None:
        while not done.wait(_PROGRESS_EVERY_S):
            took_s = time.monotonic() - began_s
            _log.info("still loading %s after %.0f s; memory %s%s", name, took_s, _memory_text(), on_disk)

    thread = threading.Thread(target=tell, name="dilu-load-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _quiet_progress_bars() -> None:
    """Turn off progress bars of transformers in the log, unless stderr is a terminal or the variable is set."""
    bars = sys.modules.get("transformers.utils.logging")
    is_watched = sys.stderr is not None and sys.stderr.isatty()
    if bars is not None and not is_watched and _BARS_VARIABLE not in os.environ:
        bars.disable_progress_bar()
