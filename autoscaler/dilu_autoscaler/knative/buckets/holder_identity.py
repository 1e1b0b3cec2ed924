"""The holder of a bucket by the identity in its Lease: `POD_IP`, as Knative's and our autoscalers write it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OUR_DEPLOYMENT: Final = "dilu-autoscaler"
STOCK_DEPLOYMENT: Final = "autoscaler"


class Side(StrEnum):
    """Which autoscaler a pod belongs to."""

    OURS = "ours"
    STOCK = "stock"
    OTHER = "other"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A lease's holder."""

    pod: str
    ip: str
    side: Side


def holder_of(identity: str, *, ours: str = OUR_DEPLOYMENT) -> Holder:
    """Return the holder that an identity names; `ours` is the name of our Deployment.

    >>> holder_of("dilu-autoscaler-7d9c-x2v_10.0.0.7").side, holder_of("autoscaler-5f6b-qq8_10.0.0.8").side
    (<Side.OURS: 'ours'>, <Side.STOCK: 'stock'>)
    """
    pod, _, ip = identity.partition("_")
    return Holder(pod=pod, ip=ip, side=_side_of(pod, ours))


def _side_of(pod: str, ours: str) -> Side:
    if not pod:
        return Side.NONE
    # Ours first: the name of our Deployment may begin like that of Knative's.
    if pod.startswith(f"{ours}-"):
        return Side.OURS
    return Side.STOCK if pod.startswith(f"{STOCK_DEPLOYMENT}-") else Side.OTHER


def holder_ip(identity: str) -> str | None:
    """Return the address in an identity, which is everything after the first `_`; None if it has none.

    >>> holder_ip("autoscaler-5c6b_10.0.0.7")
    '10.0.0.7'
    """
    return identity.partition("_")[2] or None
