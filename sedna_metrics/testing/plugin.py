"""The pytest plugin: ``pytest_plugins = ["sedna_metrics.testing.plugin"]`` in the root ``conftest.py``.

For the whole session ``start()`` opens nothing, so that modules which call it as they are imported can be imported by
tests. It is no entry point of the package: pytest would import it, and take over ``start()``, in each run of whoever
has the package installed.
"""

from __future__ import annotations

from typing import Iterator

import pytest

from sedna_metrics.testing._capture import Capture, begin, capture, end


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Given as ``-p sedna_metrics.testing.plugin``, it is there before any ``conftest.py`` is."""
    begin()


def pytest_configure() -> None:
    """Named by a ``conftest.py``, it is there before any test module is."""
    begin()


def pytest_unconfigure() -> None:
    """The session is over."""
    end()


@pytest.fixture
def sedna_capture() -> Iterator[Capture]:
    """What the test counts and logs; see :class:`sedna_metrics.testing.Capture`."""
    with capture() as captured:
        yield captured
