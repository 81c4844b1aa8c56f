"""Nothing is lost, torn or growing: in short here, at length by ``make trust``."""

from __future__ import annotations

import os

import pytest
from trust import load


def test_no_update_is_lost_while_threads_come_and_go_and_somebody_scrapes():
    seen = load.increments(1_000_000)
    assert seen["updates"] == 1_000_000
    assert seen["lost"] == 0
    assert seen["scrapes"] > 0


def test_no_histogram_is_torn():
    seen = load.torn(500)
    assert seen["torn"] == 0
    assert seen["observations"] > 10_000


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_nothing_grows(gateway):
    seen = load.soak(0.1, gateway.url)
    assert seen["updates"] == 36_000
    assert seen["kilobytes"] < 2_000
    assert max(seen["threads"], seen["files"]) <= 0
