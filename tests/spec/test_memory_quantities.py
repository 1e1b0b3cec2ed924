import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu.spec.quantities import MAX_MEMORY_MIB, format_memory, parse_memory, read_memory

EXACT = [
    ("1Mi", 1),
    ("512Mi", 512),
    ("2Gi", 2048),
    ("1.5Gi", 1536),
    ("1.50Gi", 1536),
    ("0.0009765625Gi", 1),
    (".5Gi", 512),
    ("2.Gi", 2048),
    ("1Ti", 1024 * 1024),
    ("4Ti", MAX_MEMORY_MIB),
    ("4194304Ki", 4096),
    ("1048576", 1),
    ("2147483648", 2048),
    ("1048576e0", 1),
    ("1048576e3", 1000),
    ("1048576k", 1000),
    ("1048.576M", 1000),
    ("1.048576G", 1000),
    ("0.000001048576P", 1000),
    ("0.000000001048576E", 1000),
]


@pytest.mark.parametrize(("text", "mib"), EXACT)
def test_a_quantity_is_read_exactly(text: str, mib: int) -> None:
    assert parse_memory("k", text) == mib


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1.5G", "must be whole MiB; the next larger is 1431Mi"),
        ("6G", "must be whole MiB; the next larger is 5723Mi"),
        ("1023Ki", "must be whole MiB; the next larger is 1Mi"),
        ("1025Ki", "must be whole MiB; the next larger is 2Mi"),
        ("1", "must be whole MiB"),
        ("0", "must be from 1Mi to 4Ti"),
        ("0Gi", "must be from 1Mi to 4Ti"),
        ("4194305Mi", "must be from 1Mi to 4Ti"),
        ("99E", "must be from 1Mi to 4Ti"),
        ("1e99", "must be from 1Mi to 4Ti"),
        ("", "must be a quantity such as 512Mi or 2Gi"),
        (".", "must be a quantity"),
        ("Gi", "must be a quantity"),
        ("2GiB", "must be a quantity"),
        ("2GB", "must be a quantity"),
        ("2gi", "must be a quantity"),
        ("2KI", "must be a quantity"),
        ("2 Gi", "must be a quantity"),
        (" 2Gi", "must be a quantity"),
        ("2Gi\n", "must be a quantity"),
        ("-2Gi", "must be a quantity"),
        ("1_0Gi", "must be a quantity"),
        ("٢Gi", "must be a quantity"),
        ("1.2.3Gi", "must be a quantity"),
        ("1e999", "must be a quantity"),
        ("1e3Ki", "must be a quantity"),
        ("nan", "must be a quantity"),
    ],
)
def test_a_quantity_that_is_not_exact_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_memory("gpu_memory", text)
    assert str(caught.value).startswith("gpu_memory = ")
    assert rule in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_quantity_of_thousands_of_digits_is_refused_in_a_short_line() -> None:
    with pytest.raises(ConfigError, match="must be a quantity") as caught:
        parse_memory("gpu_memory", "9" * 10_000 + "Gi")
    assert len(str(caught.value)) < 250


@given(st.integers(1, MAX_MEMORY_MIB))
def test_mib_written_as_a_quantity_read_back_the_same(mib: int) -> None:
    assert parse_memory("k", format_memory(mib)) == mib
    assert read_memory("k", format_memory(mib)) == mib


@pytest.mark.parametrize(("value", "mib"), [(1, 1), (2048, 2048), (MAX_MEMORY_MIB, MAX_MEMORY_MIB), ("2Gi", 2048)])
def test_an_int_of_a_decorator_is_mib(value: object, mib: int) -> None:
    assert read_memory("k", value) == mib


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0, "must be a whole number of MiB from 1 to 4194304"),
        (-1, "must be a whole number of MiB"),
        (2 * 1024**3, "must be a whole number of MiB"),
        (True, "must be a whole number of MiB"),
        (2048.0, "must be a quantity"),
        ("2048", "needs a unit, such as 2048Mi"),
        (None, "must be a quantity"),
        (["2Gi"], "must be a quantity"),
    ],
)
def test_memory_of_a_decorator_without_a_clear_unit_is_refused(value: object, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        read_memory("gpu_memory", value)
