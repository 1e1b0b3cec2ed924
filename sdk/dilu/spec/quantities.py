"""GPU memory and GPU shares as users write them; they are converted exactly or refused."""

from __future__ import annotations

import re
from typing import Final

from dilu.spec.fields import FieldError, whole_number

WHOLE_GPU_MILLI: Final = 1000
MAX_MEMORY_MIB: Final = 4 * 1024 * 1024  # 4 TiB on one GPU; a larger number is probably in bytes instead of MiB
_MIB_BYTES: Final = 1024 * 1024
_UNIT_BYTES: Final = {
    "": 1,
    **{unit: 1000 ** (power + 1) for power, unit in enumerate(("k", "M", "G", "T", "P", "E"))},
    **{unit: 1024 ** (power + 1) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
}
_QUANTITY = re.compile(
    r"(?=\.?[0-9])(?P<whole>[0-9]{0,20})(\.(?P<part>[0-9]{0,20}))?(?P<unit>[A-Za-z]{0,2}|[eE][0-9]{1,2})"
)
_RULE: Final = "must be a quantity such as 512Mi or 2Gi"


def gpu_milli(key: str, value: object) -> int:
    """Return the value if it is a share of one GPU in thousandths: 1 to 1000."""
    return whole_number(key, value, minimum=1, maximum=WHOLE_GPU_MILLI, unit="milli-GPU")


def memory_mib(key: str, value: object) -> int:
    """Return the value if it is a number of MiB that one GPU can have."""
    return whole_number(key, value, minimum=1, maximum=MAX_MEMORY_MIB, unit="MiB")


def parse_memory(key: str, text: object) -> int:
    """Return the MiB of a Kubernetes quantity, in which a number without unit is bytes.

    >>> parse_memory("gpu_memory", "2Gi"), parse_memory("gpu_memory", "1.5Gi"), parse_memory("gpu_memory", "1048576")
    (2048, 1536, 1)
    """
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    unit_bytes = _unit_bytes(match["unit"]) if match else None
    if match is None or unit_bytes is None:
        raise FieldError(key, _RULE, text)
    part = match["part"] or ""
    # Integer arithmetic only: 1.5Gi is 15 x 1024**3 over 10 x 1024**2.
    over = int(10 ** len(part)) * _MIB_BYTES
    mib, rest = divmod(int(match["whole"] + part) * unit_bytes, over)
    if not 1 <= mib + bool(rest) <= MAX_MEMORY_MIB:
        raise FieldError(key, f"must be from 1Mi to {format_memory(MAX_MEMORY_MIB)}", text)
    if rest:
        raise FieldError(key, f"must be whole MiB; the next larger is {mib + 1}Mi", text)
    return mib


def read_memory(key: str, value: object) -> int:
    """Return the MiB of a decorator's or a file's value: an int is MiB, a text needs its unit."""
    if isinstance(value, int):
        return memory_mib(key, value)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        raise FieldError(key, f"needs a unit, such as {value[:20]}Mi", value)
    return parse_memory(key, value)


def format_memory(mib: int) -> str:
    """Return the shortest quantity that is exactly `mib` MiB.

    >>> format_memory(2048), format_memory(1536)
    ('2Gi', '1536Mi')
    """
    if mib % (1024 * 1024) == 0:
        return f"{mib // (1024 * 1024)}Ti"
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def _unit_bytes(unit: str) -> int | None:
    if unit[:1] in ("e", "E") and unit[1:].isdecimal():
        return int(10 ** int(unit[1:]))
    return _UNIT_BYTES.get(unit)
