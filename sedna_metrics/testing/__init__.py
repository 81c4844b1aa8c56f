"""For tests of instrumented code: what it counted and logged, without a thread, a socket or a line of log.

With pytest, load the plugin (``pytest_plugins = ["sedna_metrics.testing.plugin"]`` in the root ``conftest.py``) and ask
for the fixture ``sedna_capture``; elsewhere use :func:`capture`. The code under test stays as it is: where it calls
``sedna_metrics.start()``, it gets a worker that opens nothing.
"""

from __future__ import annotations

from sedna_metrics.testing._capture import Capture, Sample, capture
from sedna_metrics.testing._clock import FakeClock
from sedna_metrics.testing._worker import Event

__all__ = ["Capture", "Event", "FakeClock", "Sample", "capture"]
