"""The handwritten digits that scikit-learn ships: 1,797 real images of 8 x 8 pixels, ten classes."""

from __future__ import annotations

import os
import random
import time
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits


class Images(NamedTuple):
    pixels: Any
    """float64, shape (samples, 64), 0 to 1."""
    labels: Any
    """int64, shape (samples,), 0 to 9."""


def digits(start: int = 0, stop: int = 1797) -> Images:
    """Images ``start`` to ``stop`` in an order that is shuffled once and for all."""
    data = load_digits()
    order = np.random.default_rng(7).permutation(len(data.target))[start:stop]
    return Images(data.data[order] / 16.0, data.target[order])


def pace(share: float) -> None:
    """Wait for about this share of DEMO_SECONDS, as for a camera or a large model; a script run alone does not wait."""
    time.sleep(share * float(os.environ.get("DEMO_SECONDS", "0")) * random.gammavariate(4, 1 / 4))
