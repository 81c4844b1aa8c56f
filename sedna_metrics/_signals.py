"""Signals that end a process: what is measured gets out before they do, and they end it as they would have without us.

The handler itself does next to nothing (a signal interrupts the worker anywhere, locks held or not): it writes a byte
to a socket. A thread of ours reads it, lets ``flush`` do its work, and then, where the signal's action was the default
one, gives it back to the kernel, so that the process dies of the very signal. A handler of the worker's that was there
before is called as ever, and what becomes of the process is its business.

A worker that is about to die should not count on meanwhile: the handler holds the main thread until the end. Only where
that does no harm: not inside our own code or logging, whose locks the flush needs, and not for longer than two seconds
while the flush has not yet seen what there is, since the worker may hold a lock that one of its own collectors wants.

The byte is also written by the interpreter itself (``signal.set_wakeup_fd``, where nobody else uses it): a worker whose
main thread sits in a long call into C would otherwise not end before that call does, which it would without us.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any, Callable, Dict, List, Optional, Tuple

_LOGGER = logging.getLogger("sedna_metrics")
_HOLD_SECONDS = 2.0
_POKES = 20
#: Modules that hold locks which a flush needs. Decorators are none of them: the worker's own code runs inside of these.
_LOCKERS = (
    "sedna_metrics.metrics",
    "sedna_metrics.exposition",
    "sedna_metrics._boundary",
    "sedna_metrics.logs",
    "logging",
    "prometheus_client",
)
_NAMES = ("SIGTERM", "SIGINT", "SIGHUP")


class Signals:
    """Watches the signals that end a process.

    Args:
        flush: called with no lock held, in a thread of ours, when one has come; must return in bounded time.
        leave: called after it where the process is about to die.
        has_seen: tells whether the flush has seen what there is, so that only sending it is left.
    """

    def __init__(
        self, flush: Callable[[], object], leave: Callable[[], None], has_seen: Callable[[], bool] = lambda: True
    ) -> None:
        self._flush = flush
        self._leave = leave
        self._has_seen = has_seen
        self._is_held = False
        self._is_closed = False
        self._over = threading.Semaphore(0)
        self._previous: Dict[int, Any] = {}
        self._due: List[int] = []
        self._wakeup: Optional[int] = None
        self._reader, self._writer = _pair()
        self._thread = self._start_thread()
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None:
                self._watch(number)
        self._take_wakeup()

    @classmethod
    def install(
        cls, flush: Callable[[], object], leave: Callable[[], None], has_seen: Callable[[], bool]
    ) -> Optional[Signals]:
        """Watch, where that is possible: handlers can be set in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            _LOGGER.info("start() was not called in the main thread: a signal ends the worker without a last push")
            return None
        try:
            return cls(flush, leave, has_seen)
        except (OSError, RuntimeError) as why:  # the machine has no further thread or file descriptor
            _LOGGER.warning("a signal ends the worker without a last push: %s", why)
            return None

    def close(self) -> None:
        """Put the worker's handlers back; a signal that is still due takes its effect now.

        Handlers can be put back by the main thread only. Called in another, they stay, and hand on what comes.
        """
        self._is_closed = True
        if threading.current_thread() is threading.main_thread():
            for number, previous in self._previous.items():
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, previous)
            self._give_wakeup_back()
        # A signal that comes from here on meets the handlers as they were.
        self._tell(0)
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)
        if self._wakeup is None and threading.current_thread() is not self._thread:
            # Elsewhere the interpreter goes on writing to this descriptor, whatever file has its number by then.
            for each in (self._reader, self._writer):
                each.close()
        if self._due:
            _die_of(self._due[0])

    def renew(self) -> None:
        """In a forked child: a pair and a thread of its own; the handlers are inherited."""
        for each in (self._reader, self._writer):
            each.close()
        self._reader, self._writer = _pair()
        self._due.clear()
        self._is_held, self._over = False, threading.Semaphore(0)
        if self._wakeup is not None:
            signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            self._wakeup = self._writer.fileno()
        self._thread = self._start_thread()

    def _start_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(self._reader,), name="sedna-metrics-signals", daemon=True)
        thread.start()
        return thread

    def _watch(self, number: int) -> None:
        previous: Any = signal.getsignal(number)
        stale = getattr(previous, "__self__", None)
        if isinstance(stale, Signals):
            previous = stale._previous.get(number, signal.SIG_DFL)  # of a worker that another thread closed
        # SIG_IGN: the worker wants to live on (nohup). None: a handler in C, which cannot be called from here. Python's
        # own for SIGINT raises KeyboardInterrupt, after which the worker ends in the ordinary way.
        if previous in (signal.SIG_IGN, None, signal.default_int_handler):
            return
        self._previous[number] = previous
        signal.signal(number, self._handle)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        previous = self._previous.get(number)
        if self._is_closed:
            if callable(previous):
                previous(number, frame)
            elif previous == signal.SIG_DFL:
                _die_of(number)
            return
        if number in self._due:
            _die_of(number)  # who sends it twice will not wait for a last push
        # Where somebody has put a handler over this one, and calls it, the default action is not wanted any more.
        is_ours = signal.getsignal(number) == self._handle
        if self._wakeup is None or not is_ours:
            self._tell(number)
        if callable(previous):
            previous(number, frame)
        elif is_ours and not _holds_locks_of_ours(frame):
            self._hold()

    def _hold(self) -> None:
        """Keep the main thread here until the flush is over."""
        self._is_held = True
        since = time.monotonic()
        while not self._over.acquire(timeout=0.05):
            if not self._has_seen() and time.monotonic() - since > _HOLD_SECONDS:
                break
            if not self._thread.is_alive():
                break  # there is nobody who would let go
        self._is_held = False

    def _tell(self, number: int) -> None:
        try:
            self._writer.send(bytes([number]))
        except OSError:
            return  # hundreds of signals are waiting to be read: one more tells nothing new

    def _run(self, reader: socket.socket) -> None:
        while True:
            number = reader.recv(1)[0]
            if number == 0:
                return
            if number not in self._previous:
                continue  # the interpreter writes every signal that has a handler
            dies = self._previous[number] == signal.SIG_DFL and signal.getsignal(number) == self._handle
            if dies:
                self._wait_until_held(number)
                self._due.append(number)
            self._flush()
            if dies:
                if os.getpid() != 1:
                    self._leave()
                _die_of(number)
                # Still here: the first process of a container does not die of a signal's default action.
                self._due.remove(number)
                self._drain(reader)
                if self._is_held:
                    self._over.release()

    def _wait_until_held(self, number: int) -> None:
        """Give the main thread a moment to leave code of ours, and have its handler called again then."""
        for _ in range(_POKES):
            if self._is_held:
                return
            time.sleep(0.002)
            if not self._is_held:
                signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _drain(self, reader: socket.socket) -> None:
        """Forget what was sent while the flush was under way."""
        reader.setblocking(False)
        try:
            while reader.recv(4096):
                pass
        except OSError:
            pass  # nothing is left
        reader.setblocking(True)

    def _take_wakeup(self) -> None:
        before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        if before == -1:
            self._wakeup = self._writer.fileno()
        else:
            try:
                signal.set_wakeup_fd(before)
            except (OSError, ValueError):
                self._wakeup = self._writer.fileno()  # whose it was has closed it: it is nobody's

    def _give_wakeup_back(self) -> None:
        if self._wakeup is None:
            return
        now = signal.set_wakeup_fd(-1)
        if now not in (-1, self._wakeup):
            signal.set_wakeup_fd(now)  # an event loop has taken it since, and keeps it
        self._wakeup = None


def _pair() -> Tuple[socket.socket, socket.socket]:
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    return reader, writer


def _holds_locks_of_ours(frame: Optional[FrameType]) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_LOCKERS):
            return True
        frame = frame.f_back
    return False


def _die_of(number: int) -> None:
    """Give the signal its default action back, and send it to ourselves."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, signal.SIG_DFL)
    else:
        # signal.signal() is for the main thread only, and that may be in C for long.
        import ctypes

        libc = ctypes.CDLL(None)
        libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        libc.signal.restype = ctypes.c_void_p
        libc.signal(number, None)
    os.kill(os.getpid(), number)
