"""Pushes the worker's metrics: at an interval, soon after a change, and once at the end.

One thread does all network I/O. The worker's own threads wait for it only in :meth:`Pusher.flush` and
:meth:`Pusher.close`, and no longer than the deadline. What cannot be pushed is kept in the spool. If the thread hangs,
because a name server or gateway does not answer, the closing thread writes the spool itself. A gateway that sends its
answer byte by byte can stop the pushes, but not the worker.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Callable, Mapping, NamedTuple, Optional

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.exposition._files import Lock
from sedna_metrics.exposition.pushgateway import PushError, Pushgateway, group_path
from sedna_metrics.exposition.spool import Spool
from sedna_metrics.metrics import Counter, Gauge

FIRST_PUSH_SECONDS = 1.0
"""The first push is at a random moment within this: a whole fleet may start at once."""
SOON_SECONDS = 1.0
"""Shortest time between two pushes, and the longest that the last push waits for one that hangs."""
MAX_BACKOFF_SECONDS = 120.0
MAX_GROUPS = 64

_LOGGER = logging.getLogger("sedna_metrics")


class Counters(NamedTuple):
    """Metrics on the pushes themselves."""

    attempts: Counter
    failures: Counter
    last_push: Gauge
    spooled: Counter
    spool_dropped: Counter


class Pusher:
    """Brings the output of ``render`` to the gateway.

    Args:
        gateway: the Pushgateway.
        key: grouping key.
        render: returns the exposition.
        spool: keeps undelivered states; ``None`` keeps none.
        interval: seconds between two pushes.
        timeout: seconds that one push may take.
        deadline: seconds that :meth:`flush` and :meth:`close` may take.
        counters: metrics on the pushes.
        boundary: takes other failures.
        delete_at_end: remove the group at an orderly end, instead of a last push.
    """

    def __init__(
        self,
        gateway: Pushgateway,
        key: Mapping[str, str],
        render: Callable[[], bytes],
        spool: Optional[Spool],
        interval: float,
        timeout: float,
        deadline: float,
        counters: Counters,
        boundary: ErrorBoundary,
        delete_at_end: bool = False,
    ) -> None:
        self._gateway = gateway
        self._key = dict(key)
        self._group = group_path(self._key)
        self._render = render
        self._spool = spool
        self._interval = interval
        self._timeout = timeout
        self._deadline = deadline
        self._counters = counters
        self._boundary = boundary
        self._delete_at_end = delete_at_end
        self._lock: Optional[Lock] = None
        self._failures_in_a_row = 0
        self._is_pushing = False
        self._condition = threading.Condition()
        self._is_wanted = False
        self._asked = self._begun = self._served = 0  # numbers of flushes
        self._is_safe = True
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="sedna-metrics-push", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Push soon. Returns at once."""
        with self._condition:
            self._is_wanted = True
            self._condition.notify_all()

    def flush(self) -> bool:
        """Push now; returns whether the state has arrived or is in the spool, within the deadline."""
        until = time.monotonic() + self._deadline
        with self._condition:
            self._asked += 1
            number = self._asked
            self._condition.notify_all()
            began = self._condition.wait_for(lambda: self._begun >= number, min(SOON_SECONDS, self._deadline))
            if began and self._condition.wait_for(lambda: self._served >= number, until - time.monotonic()):
                return self._is_safe
        return self._keep(self._render(), "it does not answer")

    def close(self) -> bool:
        """Push a last time (or remove the group) within the deadline, and stop; returns what :meth:`flush` does."""
        with self._condition:
            self._is_closing = True
        is_safe = self.flush()
        self._thread.join(0.1)
        if not self._thread.is_alive():
            self._gateway.close()
        return is_safe

    def after_fork_in_child(self) -> None:
        """In a forked child: the lock and the connection are the parent's."""
        if self._lock is not None:
            self._lock.forget()

    def entries_left(self) -> float:
        """Number of spooled states once the push under way has arrived."""
        if self._spool is None:
            return 0.0
        return float(len(self._spool) - (self._is_pushing and self._spool.holds(self._group)))

    # In the pusher's thread:

    def _run(self) -> None:
        self._wait(random.uniform(0, min(FIRST_PUSH_SECONDS, self._interval)))
        with self._boundary:
            if self._spool is not None:
                self._own_group(self._spool)
                self._deliver_spooled(self._spool)
        is_closing, due = False, 0.0
        while not is_closing:
            with self._condition:
                number, is_closing, is_wanted = self._asked, self._is_closing, self._is_wanted
                self._begun = number
                self._is_wanted = False
                self._condition.notify_all()
            if number > self._served or is_wanted or time.monotonic() >= due:
                error: Optional[PushError] = None
                self._is_safe = False
                with self._boundary:
                    error = self._end() if is_closing and self._delete_at_end else self._push(is_closing)
                due = time.monotonic() + (self._interval if error is None else self._backoff(error))
            else:
                with self._boundary:  # the gateway is away: if we are killed now, this is what is known
                    self._keep(self._render(), "")
            with self._condition:
                self._served = number
                self._condition.notify_all()
            if not is_closing:
                self._wait(min(self._interval, max(0.0, due - time.monotonic())))
        if self._lock is not None:
            self._lock.release()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._condition:
            asked = self._condition.wait_for(lambda: self._asked > self._served, min(seconds, SOON_SECONDS))
            if not asked:
                # A request waits for SOON_SECONDS after the last push, a flush does not.
                self._condition.wait_for(
                    lambda: self._is_wanted or self._asked > self._served, max(0.0, until - time.monotonic())
                )

    def _push(self, is_last: bool) -> Optional[PushError]:
        counters, before = self._counters, self._counters.last_push.value()
        counters.attempts.inc()
        counters.last_push.set(time.time())
        self._is_pushing = True
        try:
            # The body tells what is true once it has arrived.
            body = self._render()
            timeout = min(self._timeout, self._deadline) if is_last else self._timeout
            self._gateway.push(self._group, body, timeout)
        except PushError as error:
            counters.last_push.restore(before)
            counters.failures.inc()
            self._failures_in_a_row += 1
            if error.refused:
                _LOGGER.warning("the Pushgateway refuses the worker's metrics: %s", error)
            else:
                self._is_safe = self._keep(body, str(error))
            return error
        finally:
            self._is_pushing = False
        if self._failures_in_a_row:
            _LOGGER.info("pushing to %s works again", self._gateway.url)
        self._failures_in_a_row = 0
        self._is_safe = True
        if self._spool is not None:
            self._spool.discard(self._group)
        return None

    def _end(self) -> Optional[PushError]:
        """Remove the group: what a replica counted is not needed any more, and groups must not pile up."""
        self._is_safe = True
        try:
            self._gateway.delete(self._group, min(self._timeout, self._deadline))
        except PushError as error:
            _LOGGER.warning("the worker's group could not be deleted from the Pushgateway: %s", error)
        if self._spool is not None:
            self._spool.discard(self._group)
        return None

    def _backoff(self, error: PushError) -> float:
        """Seconds until the next attempt."""
        backoff = min(2.0 ** min(self._failures_in_a_row - 1, 10), max(self._interval, MAX_BACKOFF_SECONDS))
        if error.refused:
            backoff = max(backoff, self._interval)  # the content has to change first
        # A fleet must not come back all at once when its gateway does.
        return max(error.retry_after or 0.0, backoff * random.uniform(0.5, 1.0))

    def _keep(self, body: bytes, why: str) -> bool:
        """Write a state to the spool; returns whether it is there."""
        is_first = bool(why) and (self._failures_in_a_row <= 1 or self._is_closing)
        if self._spool is None:
            if is_first:
                _LOGGER.warning("could not push to %s (%s)", self._gateway.url, why)
            return False
        try:
            self._counters.spool_dropped.inc(self._spool.put(self._gateway.url, self._group, body))
            self._counters.spooled.inc()
        except OSError as problem:
            self._counters.spool_dropped.inc()
            if is_first:
                message = "could not push to %s (%s), nor keep the state in %s: %s"
                _LOGGER.warning(message, self._gateway.url, why, self._spool.folder, problem)
            return False
        if is_first:
            _LOGGER.warning("could not push to %s (%s); kept in %s", self._gateway.url, why, self._spool.folder)
        return True

    def _own_group(self, spool: Spool) -> None:
        """Take the group's lock; if another live worker of this node has it, take the next free group."""
        for slot in range(MAX_GROUPS):
            instance = self._key["instance"] + (f"+{slot}" if slot else "")
            group = group_path({**self._key, "instance": instance})
            lock = spool.lock(group)
            # A delivery may hold the first lock for a moment.
            until = time.monotonic() + (self._timeout if slot == 0 and not self._asked else 0)
            while not lock.acquire():
                if time.monotonic() >= until or self._asked:
                    break
                time.sleep(0.1)
            else:
                self._lock, self._group = lock, group
                if slot:
                    _LOGGER.info("another live worker pushes this group; this one pushes as instance %s", instance)
                return

    def _deliver_spooled(self, spool: Spool) -> None:
        """Deliver what other workers of the node have left; an asked flush goes first."""
        report = spool.deliver(
            self._gateway.url,
            self._key["namespace"],
            lambda group, body: self._gateway.push(group, body),
            self._group,
            lambda: self._asked > self._served,
        )
        self._counters.spool_dropped.inc(report.dropped)
        if self._group in report.delivered:
            self._wait(self._interval)  # the last run's final state is visible for a while before ours replaces it
