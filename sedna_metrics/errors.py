"""What :func:`sedna_metrics.start` raises when it is set up wrongly.

After ``start()`` has returned, nothing of ours raises into the worker: see :mod:`sedna_metrics._boundary`.
"""

from __future__ import annotations


def describe(error: BaseException) -> str:
    """The text of an exception, at most 500 characters; never raises."""
    try:
        return str(error)[:500]
    except Exception:  # its __str__ failed
        return "<unprintable>"


class SednaMetricsError(Exception):
    """Base class of every error this library raises on purpose."""


class SettingError(SednaMetricsError, ValueError):
    """A setting has a value, or a name, that cannot be used. The message says which and what to write instead."""


class RegistryConflictError(SednaMetricsError, ValueError):
    """The registry that was handed in already holds metrics with our names."""
