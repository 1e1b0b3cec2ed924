"""Load: when requests come and how many tokens they have, from seeded streams or files. No events, no devices."""

from dilu_simulator.arrivals.llm_traces import read_llm_trace
from dilu_simulator.arrivals.sporadic import SporadicArrivals
from dilu_simulator.arrivals.streams import stream_for
from dilu_simulator.arrivals.tokens import FixedTokens, LognormalTokens, RecordedTokens, Tokens, TokenSource

__all__ = [
    "FixedTokens",
    "LognormalTokens",
    "RecordedTokens",
    "SporadicArrivals",
    "TokenSource",
    "Tokens",
    "read_llm_trace",
    "stream_for",
]
