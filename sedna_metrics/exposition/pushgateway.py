"""Pushes to a Pushgateway: at an interval, and once more as the worker ends."""

from __future__ import annotations

import base64
import logging
import re
import threading
import time
from typing import Callable, Mapping

import requests

from sedna_metrics._guard import Guard
from sedna_metrics.exposition._render import TEXT_TYPE
from sedna_metrics.instruments import Counter

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:-]*\Z")
_LOGGER = logging.getLogger("sedna_metrics")


def group_url(base: str, grouping_key: Mapping[str, str]) -> str:
    """The URL of a group. What is more than a plain name goes in as base64, which the Pushgateway's API offers.

    Slashes, percent signs, and the dots of "..": servers and proxies differ in what they make of them in a path.
    """
    parts = [base.rstrip("/"), "metrics"]
    # The API wants "job" first; the order of the others does not matter to it.
    for name in sorted(grouping_key, key=lambda each: (each != "job", each)):
        value = grouping_key[name]
        if not _PLAIN.match(value):
            # A single "=" stands for the empty value.
            parts += [f"{name}@base64", base64.urlsafe_b64encode(value.encode("utf-8")).decode("ascii") or "="]
        else:
            parts += [name, value]
    return "/".join(parts)


class Pushgateway:
    """One group on one Pushgateway.

    Args:
        base: the gateway's URL.
        grouping_key: the group's labels, ``job`` among them.
        timeout: seconds that a push may take.
    """

    def __init__(self, base: str, grouping_key: Mapping[str, str], timeout: float) -> None:
        self.url = group_url(base, grouping_key)
        self._timeout = timeout
        self._session = requests.Session()

    def push(self, body: bytes) -> None:
        """Replace what the group holds.

        Raises:
            requests.RequestException: it did not arrive; the message says why.
        """
        response = self._session.put(
            self.url,
            data=body,
            headers={"Content-Type": TEXT_TYPE},
            timeout=self._timeout,
        )
        if response.status_code >= 300:
            raise requests.HTTPError(f"the Pushgateway answered {response.status_code}: {response.text[:300]}")

    def close(self) -> None:
        """Let the connection go."""
        self._session.close()


class PushLoop:
    """Pushes what ``render`` gives every ``interval`` seconds, from a thread of its own.

    Args:
        gateway: where to.
        render: gives the exposition.
        interval: seconds between two pushes.
        deadline: seconds that :meth:`close` may take.
        attempts: counts pushes that were tried.
        failures: counts those that failed.
        guard: keeps what else may go wrong away from the worker.
    """

    def __init__(
        self,
        gateway: Pushgateway,
        render: Callable[[], bytes],
        interval: float,
        deadline: float,
        attempts: Counter,
        failures: Counter,
        guard: Guard,
    ) -> None:
        self._gateway = gateway
        self._render = render
        self._interval = interval
        self._deadline = deadline
        self._attempts = attempts
        self._failures = failures
        self._guard = guard
        self._ending = threading.Event()
        self._given_up = threading.Event()
        self._was_failing = False
        self._thread = threading.Thread(target=self._run, name="sedna-metrics-push", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(self._interval):
            self._push()
        # The last state, from this thread still: the worker only waits for it, no longer than the deadline.
        until = time.monotonic() + self._deadline
        while not self._push() and time.monotonic() < until:
            if self._given_up.wait(0.5):
                return

    def _push(self) -> bool:
        with self._guard:
            self._attempts.inc()
            try:
                self._gateway.push(self._render())
            except requests.RequestException as why:
                self._failures.inc()
                if not self._was_failing:
                    _LOGGER.warning("push to %s failed, will go on trying: %s", self._gateway.url, why)
                self._was_failing = True
                return False
            if self._was_failing:
                _LOGGER.info("push to %s works again", self._gateway.url)
            self._was_failing = False
            return True
        return False

    def close(self) -> None:
        """Push once more and stop, within the deadline."""
        self._ending.set()
        self._thread.join(self._deadline)
        self._given_up.set()
        self._gateway.close()
