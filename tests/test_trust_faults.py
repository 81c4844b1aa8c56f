"""The fault matrix: whatever breaks around it, the worker's own functions and its end are as without the library."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from trust.faults import CASES, COUNTED, places, run

AT_ONCE = 4


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Of each case: with the library, and without."""
    folder = tmp_path_factory.mktemp("faults")
    with places() as found, ThreadPoolExecutor(AT_ONCE) as pool:
        runs = {
            (case, control): pool.submit(run, case, folder / f"{number}-{control}", found, control)
            for number, case in enumerate(CASES)
            for control in (False, True)
        }
        yield {case: (runs[case, False].result(), runs[case, True].result()) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group}: {case.name}")
def test_the_worker_is_as_it_would_be_without_the_library(outcomes, case):
    ours, control = outcomes[case]
    assert control["status"] == case.status, control["stderr"]
    assert (["end"] in control["results"]) == (case.status == 0), control["stderr"]
    assert ours["is_hit"] == case.is_hit, "the library did not run into the fault"
    assert ours["results"] == control["results"], ours["stderr"]
    assert ours["status"] == control["status"], ours["stderr"]
    if case.counts:
        assert {name: ours["counted"].get(name) for name in COUNTED} == COUNTED
