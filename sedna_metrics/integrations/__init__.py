"""What only the user's training code can tell, without being handed a worker: progress, loss by epoch, time left.

Each function finds the running worker, and in it the training or evaluation under way: the one that
:func:`sedna_metrics.observe_sedna` saw begin, or that a ``with`` block of the script's began. Without a training under
way loops and callbacks are one of their own, of the worker's kind of task; without a running worker they do nothing.
No framework is imported before its callback is asked for.
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
