"""Loops, progress and callbacks for training code that has no worker at hand.

Each finds the running worker and its training or evaluation in progress. Without one, a loop or callback is a training
of its own; without a running worker it does nothing. A framework is imported when its callback is made.
"""

from __future__ import annotations

from sedna_metrics.integrations._loops import epochs, progress, track
from sedna_metrics.integrations.boosting import lightgbm_callback, xgboost_callback
from sedna_metrics.integrations.huggingface import huggingface_callback
from sedna_metrics.integrations.keras import keras_callback
from sedna_metrics.integrations.lightning import lightning_callback

__all__ = [
    "epochs",
    "huggingface_callback",
    "keras_callback",
    "lightgbm_callback",
    "lightning_callback",
    "progress",
    "track",
    "xgboost_callback",
]
