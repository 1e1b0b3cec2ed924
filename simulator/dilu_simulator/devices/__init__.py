"""Nodes and GPUs: who is placed where, which share each gets, and how far its work has come at that share."""

from dilu_scheduler.placement import PLACEMENTS, Books, Demand, Placement, placement_named
from dilu_simulator.devices.batch_executions import BatchExecution, BatchWork
from dilu_simulator.devices.cluster import Cluster, ClusterTotals
from dilu_simulator.devices.executions import ShareTimes, Usage
from dilu_simulator.devices.llm_executions import LlmExecution, LlmWork
from dilu_simulator.devices.training_executions import TrainingExecution

__all__ = [
    "PLACEMENTS",
    "BatchExecution",
    "BatchWork",
    "Books",
    "Cluster",
    "ClusterTotals",
    "Demand",
    "LlmExecution",
    "LlmWork",
    "Placement",
    "ShareTimes",
    "TrainingExecution",
    "Usage",
    "placement_named",
]
