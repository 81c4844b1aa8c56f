"""Pushes the worker's metrics: at an interval, soon after a change, and once at the end.

One thread does all network I/O. The worker's own threads wait for it only in :meth:`Pusher.flush` and
:meth:`Pusher.close`, no longer than the deadline. Undelivered states go to the spool. If the thread hangs, because a
name server or gateway does not answer, the closing thread writes the spool itself.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import threading
import time
from contextlib import suppress
from typing import Callable, Optional

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.catalogue import library
from sedna_metrics.exposition._files import Lock
from sedna_metrics.exposition.pushgateway import PushError, Pushgateway, group_path
from sedna_metrics.exposition.spool import Spool, open_spool
from sedna_metrics.identity import COPY_JOB, WorkerIdentity
from sedna_metrics.metrics import Instruments
from sedna_metrics.settings import Settings

FIRST_PUSH_SECONDS = 1.0  # the first push is at a random moment within this: a whole fleet may start at once
SOON_SECONDS = 1.0  # shortest time between two pushes, and the longest that the last push waits for one that hangs
MAX_BACKOFF_SECONDS = 120.0
MAX_GROUPS = 64

_NOT_DELETED = "the worker's group could not be deleted from the Pushgateway: %s"
_LOGGER = logging.getLogger("sedna_metrics")


class Pusher:
    """Pushes what ``render`` returns. A replica of a service deletes its group at the end, in place of a last push."""

    def __init__(
        self,
        settings: Settings,
        identity: WorkerIdentity,
        render: Callable[[], bytes],
        instruments: Instruments,
        boundary: ErrorBoundary,
    ) -> None:
        self._settings = settings
        self._gateway = Pushgateway(settings)
        self._spool = open_spool(settings)
        self._key = {**identity.grouping_key(), **({"job": COPY_JOB} if settings.export == "both" else {})}
        self._group = group_path(self._key)
        self._render = render
        self._boundary = boundary
        self._delete_at_end = identity.is_replicated
        self._attempts = instruments.counter(library.PUSH_ATTEMPTS)
        self._failures = instruments.counter(library.PUSH_FAILURES)
        self._last_push = instruments.gauge(library.LAST_PUSH)
        self._spooled = instruments.counter(library.SPOOLED)
        self._dropped = instruments.counter(library.SPOOL_DROPPED)
        if self._spool is not None:
            instruments.callback(library.SPOOL_ENTRIES, self._entries_left)
        self._lock: Optional[Lock] = None
        self._failures_in_a_row = 0
        self._pause = 0.0  # seconds between the last push and the next
        self._is_pushing = False
        self._renders = itertools.count(1)
        self._settled = 0.0  # number of the newest render that has arrived or is in the spool
        self._settling = threading.RLock()
        self._condition = threading.Condition()
        self._is_wanted = False
        self._asked = self._begun = self._served = 0  # numbers of flushes
        self._is_safe = False  # what the last push came to
        self._is_closing = self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="sedna-metrics-push", daemon=True)
        self._thread.start()

    def request(self) -> None:
        with self._condition:
            self._is_wanted = True
            self._condition.notify_all()

    def flush(self) -> bool:
        """Push now; returns whether the state, after :meth:`close` the last one, has arrived or is in the spool."""
        return self._push_now(is_last=False)

    def close(self) -> None:
        """Push a last time (or delete the group) within the deadline, and stop."""
        if self._delete_at_end:
            self._discard(math.inf)  # nothing is kept from now on
        is_safe = self._push_now(is_last=True)
        with self._condition:
            self._is_safe, self._is_closed = is_safe, True
            self._condition.notify_all()
        self._thread.join(0.1)
        if not self._thread.is_alive():
            self._gateway.close()
        elif self._delete_at_end:
            _LOGGER.warning(_NOT_DELETED, "it does not answer")

    def _push_now(self, is_last: bool) -> bool:
        deadline = self._settings.push_deadline
        until = time.monotonic() + deadline
        with self._condition:
            if not self._is_closing:  # both at once: the thread ends with the push that it sees as the last
                self._asked += 1
                self._is_closing = is_last
            number = self._asked
            self._condition.notify_all()
            has_begun = self._condition.wait_for(
                lambda: self._is_closed or self._begun >= number, min(SOON_SECONDS, deadline)
            )
            if has_begun and self._condition.wait_for(
                lambda: self._is_closed or self._served >= number, until - time.monotonic()
            ):
                return self._is_safe
        return self._keep(next(self._renders), self._render(), "it does not answer")

    def after_fork_in_child(self) -> None:
        """In a forked child: the lock and the connection are the parent's."""
        if self._lock is not None:
            self._lock.forget()

    def _entries_left(self) -> float:
        """Number of spooled states once the push under way has arrived."""
        assert self._spool is not None
        return float(len(self._spool) - (self._is_pushing and self._spool.holds(self._group)))

    # In the pusher's thread:

    def _run(self) -> None:
        self._wait(random.uniform(0, min(FIRST_PUSH_SECONDS, self._settings.push_interval)))
        with self._boundary:
            if self._spool is not None:
                self._own_group(self._spool)
                self._deliver_left(self._spool)
        is_closing, due = False, 0.0
        while not is_closing:
            with self._condition:
                number, is_closing, is_wanted = self._asked, self._is_closing, self._is_wanted
                self._begun = number
                self._is_wanted = False
                self._condition.notify_all()
            is_safe = False
            if number > self._served or is_wanted or time.monotonic() >= due:
                self._pause = self._settings.push_interval
                with self._boundary:
                    is_safe = self._end() if is_closing and self._delete_at_end else self._push(is_closing)
                due = time.monotonic() + self._pause
            else:
                with self._boundary:  # the gateway is away: if we are killed now, this is what is known
                    is_safe = self._keep(next(self._renders), self._render(), "")
            with self._condition:
                self._served, self._is_safe = number, is_safe
                self._condition.notify_all()
            if not is_closing:
                self._wait(min(self._settings.push_interval, max(0.0, due - time.monotonic())))
        if self._lock is not None:
            self._lock.release()

    def _is_asked(self) -> bool:
        return self._asked > self._served

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._condition:
            # A request waits for SOON_SECONDS after the last push, a flush does not.
            if not self._condition.wait_for(self._is_asked, min(seconds, SOON_SECONDS)):
                left = max(0.0, until - time.monotonic())
                self._condition.wait_for(lambda: self._is_wanted or self._is_asked(), left)

    def _push(self, is_last: bool) -> bool:
        """Push once; returns whether the state has arrived or is in the spool."""
        before = self._last_push.value()
        self._attempts.inc()
        self._last_push.set(time.time())
        self._is_pushing = True
        try:
            number, body = next(self._renders), self._render()  # what is true once it has arrived
            self._gateway.push(self._group, body, self._settings.push_deadline if is_last else None)
        except PushError as error:
            self._last_push.restore(before)
            self._failures.inc()
            self._failures_in_a_row += 1
            self._pause = self._backoff(error)
            if error.refused:
                _LOGGER.warning("the Pushgateway refuses the worker's metrics: %s", error)
                return False
            return self._keep(number, body, str(error))
        finally:
            self._is_pushing = False
        if self._failures_in_a_row:
            _LOGGER.info("pushing to %s works again", self._gateway.url)
        self._failures_in_a_row = 0
        self._discard(number)
        return True

    def _end(self) -> bool:
        # Nobody needs what a replica counted, and groups must not pile up.
        try:
            self._gateway.delete(self._group, self._settings.push_deadline)
        except PushError as error:
            _LOGGER.warning(_NOT_DELETED, error)
        return True

    def _backoff(self, error: PushError) -> float:
        interval = self._settings.push_interval
        backoff = min(2.0 ** min(self._failures_in_a_row - 1, 10), max(interval, MAX_BACKOFF_SECONDS))
        if error.refused:
            backoff = max(backoff, interval)  # the content has to change first
        # A fleet must not come back all at once when its gateway does.
        return max(error.retry_after or 0.0, backoff * random.uniform(0.5, 1.0))

    def _keep(self, number: int, body: bytes, why: str) -> bool:
        """Write the state of this render to the spool; returns whether it, or a newer one, is there or has arrived."""
        is_kept, outcome = False, ""
        if self._spool is not None:
            try:
                with self._settling:  # no logging within: code that a signal handler interrupts may hold its lock
                    if number < self._settled:
                        return True
                    self._dropped.inc(self._spool.put(self._gateway.url, self._group, body))
                    self._spooled.inc()
                    self._settled = number
                is_kept, outcome = True, f"; kept in {self._spool.folder}"
            except OSError as problem:
                self._dropped.inc()
                outcome = f", nor keep the state in {self._spool.folder}: {problem}"
        if why and (self._failures_in_a_row <= 1 or self._is_closing):
            _LOGGER.warning("could not push to %s (%s)%s", self._gateway.url, why, outcome)
        return is_kept

    def _discard(self, number: float) -> None:
        """The state of this render has arrived: remove the one in the spool, unless that is newer."""
        with self._settling:
            if number >= self._settled:
                self._settled = number
                if self._spool is not None:
                    self._spool.discard(self._group)

    def _own_group(self, spool: Spool) -> None:
        """Take the group's lock; if another live worker of this node has it, take the next free group."""
        for slot in range(MAX_GROUPS):
            instance = self._key["instance"] + (f"+{slot}" if slot else "")
            group = group_path({**self._key, "instance": instance})
            lock = spool.lock(group)
            # A delivery may hold the first lock for a moment.
            until = time.monotonic() + (self._settings.push_timeout if slot == 0 and not self._asked else 0)
            while not lock.acquire():
                if time.monotonic() >= until or self._asked:
                    break
                time.sleep(0.1)
            else:
                self._lock, self._group = lock, group
                if slot:
                    _LOGGER.info("another live worker pushes this group; this one pushes as instance %s", instance)
                return

    def _deliver_left(self, spool: Spool) -> None:
        """Deliver what other workers of the node and our last run have left; an asked flush goes first."""
        report = spool.deliver(self._gateway, self._key["namespace"], self._is_asked)
        self._dropped.inc(report.dropped)
        left = spool.read(self._group) if self._lock is not None else None
        if left is None or left.gateway != self._gateway.url or report.error is not None or self._is_asked():
            return
        with suppress(PushError):  # our first push replaces it
            self._gateway.push(left.group, left.body)
            self._discard(0)
            self._wait(self._settings.push_interval)  # it is visible for a while before ours replaces it
