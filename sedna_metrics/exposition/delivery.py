"""Delivery: pushes at an interval and at the end, again after a failure, and to the spool where all of that fails.

Two threads: one that plans and touches the disk, one that does nothing but network I/O, so that a gateway that hangs
can be given up. The worker's own threads never wait for either, except in :meth:`Delivery.close` and
:meth:`Delivery.flush`, and there no longer than the deadline.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from typing import TYPE_CHECKING, Callable, List, Mapping, NamedTuple, Optional, Tuple

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.exposition._files import Lock
from sedna_metrics.exposition.pushgateway import PushError, Pushgateway, group_path
from sedna_metrics.exposition.spool import Spool
from sedna_metrics.metrics import Counter, Gauge

FIRST_PUSH_SECONDS = 1.0
"""The first push comes at a random moment within this: a whole fleet may start at once."""

MAX_BACKOFF_SECONDS = 120.0
SLICE_SECONDS = 0.1
GRACE_SECONDS = 0.5
"""How long a broken-off request may take to notice."""

if TYPE_CHECKING:
    Answer = queue.SimpleQueue[Optional[PushError]]
    #: Group, body, and where the answer goes; ``None`` ends the thread that reads it.
    Requests = queue.SimpleQueue[Optional[Tuple[str, bytes, Answer]]]

_LOGGER = logging.getLogger("sedna_metrics")


class Counts(NamedTuple):
    """What delivery says about itself."""

    attempts: Counter
    failures: Counter
    last_push: Gauge
    spooled: Counter
    spool_dropped: Counter


class Delivery:
    """Brings what ``render`` gives to the gateway.

    Args:
        gateway: where to.
        grouping_key: the group's labels.
        render: gives the exposition; with False, without the worker's own collectors.
        spool: where undelivered states wait, if anywhere.
        interval: seconds between two pushes.
        timeout: seconds that one push may take.
        deadline: seconds that :meth:`flush` and :meth:`close` may take.
        counts: what delivery says about itself.
        boundary: keeps what else may go wrong away from the worker.
    """

    def __init__(
        self,
        gateway: Pushgateway,
        grouping_key: Mapping[str, str],
        render: Callable[[bool], bytes],
        spool: Optional[Spool],
        interval: float,
        timeout: float,
        deadline: float,
        counts: Counts,
        boundary: ErrorBoundary,
    ) -> None:
        self._gateway = gateway
        self._grouping_key = dict(grouping_key)
        self._render = render
        self._spool = spool
        self._interval = interval
        self._timeout = timeout
        self._deadline = deadline
        self._counts = counts
        self._boundary = boundary
        self._group = group_path(self._grouping_key)
        self._lock: Optional[Lock] = None
        self._others_are_poison = False
        self._failed_in_a_row = 0
        self._condition = threading.Condition()
        self._wanted = 0  # number of the latest flush that was asked for
        self._seen = 0
        self._served = 0
        self._until = 0.0
        self._closing = False
        self._requests: Requests = queue.SimpleQueue()
        self._start_io()
        self._thread = threading.Thread(target=self._run, name="sedna-metrics-push", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the machine has no further thread
            self._requests.put(None)
            raise

    def flush(self) -> bool:
        """Push now; gives whether it arrived, or is safe in the spool, within the deadline."""
        with self._condition:
            self._wanted += 1
            number = self._wanted
            self._until = time.monotonic() + self._deadline
            self._condition.notify_all()
            return self._condition.wait_for(lambda: self._served >= number, self._deadline + 2 * GRACE_SECONDS)

    def has_seen(self) -> bool:
        """Whether the state has been looked at since the latest flush was asked for."""
        return self._seen >= self._wanted

    def close(self) -> None:
        """Push a last time, or spool, within the deadline; then stop."""
        with self._condition:
            self._closing = True
        self.flush()
        self._thread.join(GRACE_SECONDS)
        self._gateway.close()

    def forget(self) -> None:
        """In a forked child: leave lock and connection to the parent, whose threads are not here."""
        if self._lock is not None:
            self._lock.forget()
        self._gateway.renew()

    # The planning thread.

    def _run(self) -> None:
        with self._boundary:
            self._pause(random.uniform(0, min(FIRST_PUSH_SECONDS, self._interval)))
        with self._boundary:
            self._own_group()
        with self._boundary:
            if self._deliver_spooled():
                self._pause(self._interval)  # the last run's final state is to be seen before ours takes its place
        due = 0.0
        while True:
            with self._condition:
                asked, closing, until = self._wanted, self._closing, self._until
            with self._boundary:
                if asked > self._served:
                    self._push_until(until)
                elif time.monotonic() >= due:
                    error = self._push_once(self._timeout)
                    due = time.monotonic() + (self._interval if error is None else self._backoff(error))
                else:
                    # Between two tries at a gateway that is away: if we are killed now, this is what is known of us.
                    self._keep(self._render(not self._others_are_poison))
            with self._condition:
                self._served = asked
                self._condition.notify_all()
                if closing:
                    break
                # What was asked for while this push was under way may be newer than what was pushed.
            self._pause(min(self._interval, max(0.0, due - time.monotonic())))
        self._requests.put(None)
        if self._lock is not None:
            self._lock.release()

    def _pause(self, seconds: float) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._wanted > self._served, seconds)

    def _push_until(self, until: float) -> None:
        """Push, and again after a failure, until it arrives or there is no time left."""
        delay = 0.25
        while True:
            left = until - time.monotonic()
            error = self._push_once(max(0.05, min(self._timeout, left)))
            if error is None or error.refused:
                return
            left = until - time.monotonic()
            # With a retry that cannot be finished nothing is won: the state is in the spool by now.
            if left <= delay:
                return
            time.sleep(delay)
            delay = min(delay * 2, 2.0)

    def _push_once(self, timeout: float) -> Optional[PushError]:
        """One push; gives what went wrong."""
        asked = self._wanted
        body = self._render(not self._others_are_poison)
        self._seen = asked
        self._counts.attempts.inc()
        error = self._exchange(self._group, body, timeout)
        if error is not None and error.refused and not self._others_are_poison:
            error = self._without_others(error, timeout)
        if error is None:
            if self._failed_in_a_row:
                _LOGGER.info("push to %s works again", self._gateway.base)
            self._failed_in_a_row = 0
            self._counts.last_push.set(time.time())
            if self._spool is not None:
                self._spool.discard(self._group)
            return None
        self._counts.failures.inc()
        if self._failed_in_a_row == 0:
            _LOGGER.warning("push failed, will go on trying: %s", error)
        self._failed_in_a_row += 1
        if not error.refused:
            self._keep(body)
        return error

    def _backoff(self, error: PushError) -> float:
        """Seconds until the next try."""
        backoff = min(2.0 ** min(self._failed_in_a_row - 1, 10), max(self._interval, MAX_BACKOFF_SECONDS))
        if error.refused:
            backoff = max(backoff, self._interval)  # the same content is refused again; it has to change first
        # A fleet whose gateway comes back must not come back all at once.
        return max(error.retry_after or 0.0, backoff * random.uniform(0.5, 1.0))

    def _without_others(self, error: PushError, timeout: float) -> Optional[PushError]:
        """A refused push may be the fault of a metric of the worker's own: ours alone tell."""
        ours = self._render(False)
        self._counts.attempts.inc()
        if self._exchange(self._group, ours, timeout) is not None:
            return error
        self._others_are_poison = True
        _LOGGER.error(
            "the Pushgateway refuses what the worker's own collectors give, so that only sedna-metrics' own series are "
            "pushed from now on: %s",
            error,
        )
        return None

    def _exchange(self, group: str, body: bytes, timeout: float) -> Optional[PushError]:
        """Let the other thread push; breaks it off after ``timeout`` seconds."""
        answer: Answer = queue.SimpleQueue()
        self._requests.put((group, body, answer))
        until, was_asked = time.monotonic() + timeout, self._is_asked()
        while True:
            try:
                return answer.get(timeout=min(SLICE_SECONDS, max(0.0, until - time.monotonic())))
            except queue.Empty:
                # The worker is about to end: a push that hangs must not keep its last state from being looked at.
                if time.monotonic() >= until or (not was_asked and self._is_asked()):
                    break
        self._gateway.abort()
        try:
            # Whatever it is: an answer that was cut off in its head reads like a whole one.
            answer.get(timeout=GRACE_SECONDS)
        except queue.Empty:
            # It hangs where no socket is (a name server): it and its connection are left to themselves.
            self._replace_io()
        return PushError(f"{self._gateway.base} did not answer within {timeout:.3g} s")

    def _replace_io(self) -> None:
        self._requests.put(None)
        self._requests = queue.SimpleQueue()
        try:
            self._start_io()
        except RuntimeError:
            return  # the interpreter is shutting down: what is pushed from now on goes to the spool
        self._gateway.renew()

    def _start_io(self) -> None:
        threading.Thread(target=self._send, args=(self._requests,), name="sedna-metrics-push-io", daemon=True).start()

    def _keep(self, body: bytes) -> None:
        if self._spool is None:
            return
        try:
            self._counts.spool_dropped.inc(self._spool.put(self._group, body))
            self._counts.spooled.inc()
        except OSError as why:
            self._counts.spool_dropped.inc()
            if self._failed_in_a_row == 1:
                _LOGGER.warning("cannot keep an undelivered push in %s: %s", self._spool.folder, why)

    def _own_group(self) -> None:
        """Take the group's lock; where another live worker has it, take the next free group."""
        if self._spool is None:
            return
        patience = time.monotonic() + self._timeout
        slot = 0
        while slot < 64:
            instance = self._grouping_key["instance"] + (f"+{slot}" if slot else "")
            group = group_path({**self._grouping_key, "instance": instance})
            try:
                lock = self._spool.lock(group)
                if lock.acquire():
                    self._lock, self._group = lock, group
                    if slot:
                        _LOGGER.info("another live worker pushes as %s; this one pushes as %s", self._group, instance)
                    return
            except OSError as why:
                _LOGGER.warning("cannot lock this worker's group in %s: %s", self._spool.folder, why)
                return
            # It may be a flush that delivers what the last run left, and is over soon.
            if slot == 0 and not self._is_asked() and time.monotonic() < patience:
                time.sleep(0.1)
            else:
                slot += 1

    def _deliver_spooled(self) -> bool:
        """Deliver what other workers of the node left; gives whether our own group was among it."""
        if self._spool is None:
            return False
        report = deliver_spooled(
            self._spool,
            lambda group, body: self._exchange(group, body, self._timeout),
            self._group,
            self._is_asked,  # ours goes first
        )
        self._counts.spool_dropped.inc(report.dropped)
        return self._group in report.delivered

    def _is_asked(self) -> bool:
        with self._condition:
            return self._wanted > self._served

    # The network thread.

    def _send(self, requests: Requests) -> None:
        while True:
            request = requests.get()
            if request is None:
                return
            group, body, answer = request
            try:
                self._gateway.push(group, body)
                answer.put(None)
            except PushError as error:
                answer.put(error)
            except Exception as error:
                self._boundary.record(error)
                answer.put(PushError(f"{type(error).__name__}: {error}"))


class Report(NamedTuple):
    """What became of a spool."""

    delivered: List[str]
    """Groups whose state arrived."""
    dropped: int
    """States that were too old, or that the gateway refuses for what they are."""
    waiting: int
    """States that still wait: their worker lives and will push itself, or the gateway is away."""
    error: Optional[PushError]
    """Why the gateway did not take the rest."""


def deliver_spooled(
    spool: Spool,
    push: Callable[[str, bytes], Optional[PushError]],
    own_group: str = "",
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Deliver what waits in a spool, as far as its workers are gone.

    Args:
        spool: where.
        push: pushes a body to a group; gives what went wrong.
        own_group: the group whose lock the caller holds.
        stop: asked before each state whether to leave the rest.
    """
    delivered, dropped, error = [], spool.expire(), None
    for entry in spool.entries():
        lock = None if entry.group == own_group else spool.lock(entry.group)
        if stop() or error is not None:
            break
        if lock is not None and not lock.acquire():
            continue  # its worker lives, and will push by itself
        try:
            if not entry.path.exists():
                continue  # delivered by somebody else between our reading and locking
            error = push(entry.group, entry.body)
            if error is None:
                delivered.append(entry.group)
                spool.discard(entry.group)
            elif error.refused:
                _LOGGER.warning("a spooled push is refused, and dropped: %s", error)
                dropped, error = dropped + 1, None
                spool.discard(entry.group)
        finally:
            if lock is not None:
                lock.release()
    return Report(delivered, dropped, len(spool), error)
