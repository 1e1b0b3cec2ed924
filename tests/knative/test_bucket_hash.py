"""The consistent subset agrees with Knative's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.buckets.hashing import bucket_name, owner, subset


def buckets(total: int) -> list[str]:
    return [bucket_name(ordinal, total) for ordinal in range(total)]


@pytest.mark.parametrize(
    ("names", "key", "expected"),
    [
        (["as-bucket-00-of-02", "as-bucket-01-of-02"], "knative-testing/succulent", "as-bucket-00-of-02"),
        (["as-bucket-00-of-02", "as-bucket-01-of-02"], "knative-testing/plant", "as-bucket-01-of-02"),
        (buckets(2), "default/hello-00001", "autoscaler-bucket-01-of-02"),
        (buckets(2), "ns/rev", "autoscaler-bucket-01-of-02"),
        (buckets(2), "gpu/resnet-00001", "autoscaler-bucket-00-of-02"),
        (buckets(3), "default/hello-00001", "autoscaler-bucket-00-of-03"),
        (buckets(3), "default/hello-00002", "autoscaler-bucket-01-of-03"),
        (buckets(3), "ns/rev", "autoscaler-bucket-02-of-03"),
    ],
)
def test_a_key_has_the_owner_that_knative_gives_it(names: list[str], key: str, expected: str) -> None:
    assert owner(key, names) == expected
    assert owner(key, reversed(names)) == expected


@pytest.mark.parametrize(("count", "last"), [(2, [4, 5]), (3, [2, 4, 5]), (5, [1, 2, 3, 4, 5]), (9, [1, 2, 3, 4, 5])])
def test_a_revision_has_the_activators_that_knative_gives_it(count: int, last: list[int]) -> None:
    activators = [f"10.0.0.{number}" for number in range(1, 6)]
    assert subset("hello-00001", activators, count) == [f"10.0.0.{number}" for number in last]


def test_without_names_there_is_no_owner() -> None:
    with pytest.raises(ValueError, match="no names"):
        owner("ns/rev", [])


@given(key=st.text(), names=st.sets(st.text(max_size=20), min_size=1, max_size=60), data=st.data())
def test_as_many_different_names_are_chosen_as_were_asked_for(key: str, names: set[str], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(names) + 2))
    chosen = subset(key, names, count)
    assert len(set(chosen)) == len(chosen) == min(count, len(names))
    assert set(chosen) <= names
