"""What the author of a worker script calls, one file for each kind of task."""

from __future__ import annotations

from sedna_metrics.tasks.federated_learning import FederatedLearning
from sedna_metrics.tasks.incremental_learning import IncrementalLearning
from sedna_metrics.tasks.joint_inference import JointInference
from sedna_metrics.tasks.lifelong_learning import LifelongLearning
from sedna_metrics.tasks.multi_edge_inference import MultiEdgeInference

__all__ = ["FederatedLearning", "IncrementalLearning", "JointInference", "LifelongLearning", "MultiEdgeInference"]
