"""Sedna's kinds of custom resources, as far as their status tells something (``pkg/apis/sedna/v1alpha1``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

GROUP, VERSION = "sedna.io", "v1alpha1"

_OF_SERVICES = ("Pending", "Running", "Failed")
_OF_STAGES = ("Waiting", "Ready", "Starting", "Running", "Completed", "Failed")
_PHASES = ("Pending", "Running", "Succeeded", "Failed")


@dataclass(frozen=True)
class Kind:
    """A kind whose resources run workers.

    ``snake`` is its part of metric names. ``changed`` is the field of a condition that tells when it became so.
    """

    camel: str
    snake: str
    conditions: Tuple[str, ...]
    pods: Tuple[str, ...] = ()
    """Counts of pods in the status."""
    phases: Tuple[str, ...] = ()
    has_stages: bool = False
    completes: bool = False
    """Whether the controller sets ``completionTime``: the schema of some kinds has it, and nothing ever sets it."""
    changed: str = "lastTransitionTime"

    @property
    def lower(self) -> str:
        """As in the Global Manager's labels of pods, and in the label ``kind``."""
        return self.camel.lower()

    @property
    def label(self) -> str:
        """The prefix of those labels as Prometheus writes it: ``<label>_name``, ``<label>_worker_type``."""
        return f"{self.lower}_{GROUP.replace('.', '_')}"


def _service(camel: str, snake: str) -> Kind:
    return Kind(camel, snake, _OF_SERVICES, pods=("active", "failed"))


def _learning(camel: str, snake: str) -> Kind:
    return Kind(camel, snake, _OF_STAGES, has_stages=True)


def _job(camel: str, snake: str, conditions: Tuple[str, ...] = _OF_STAGES, changed: str = "lastTransitionTime") -> Kind:
    return Kind(camel, snake, conditions, ("active", "succeeded", "failed"), _PHASES, completes=True, changed=changed)


KINDS: Tuple[Kind, ...] = (
    _service("JointInferenceService", "joint_inference_service"),
    _learning("IncrementalLearningJob", "incremental_learning_job"),
    _job(
        "FederatedLearningJob",
        "federated_learning_job",
        ("Training", "Complete", "Failed"),
        changed="lastHeartbeatTime",  # its conditions have no lastTransitionTime
    ),
    _learning("LifelongLearningJob", "lifelong_learning_job"),
    _service("ObjectSearchService", "object_search_service"),
    _service("ObjectTrackingService", "object_tracking_service"),
    _service("FeatureExtractionService", "feature_extraction_service"),
    _job("ReidJob", "reid_job"),
    _job("VideoAnalyticsJob", "video_analytics_job"),
)
