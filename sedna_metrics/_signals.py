"""Signals that end a process: the last state is pushed before they do.

These are Python signal handlers: during a long call into C they run when the call returns.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Callable, Dict, Optional

_LOGGER = logging.getLogger("sedna_metrics")
REMINDER_SECONDS = 0.05
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_held: Dict[int, Any] = {}
"""The signal mask before a fork, by the thread that forks."""


def hold_signals() -> None:
    """Block the signals in this thread until :func:`release_signals`, which a forked child calls as well."""
    _held[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def release_signals() -> None:
    """Restore the mask; a signal that has arrived meanwhile is handled now."""
    mask = _held.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Signals:
    """Handles the signals that end a process.

    A handler that the script has set is called, after ``request``, and decides. Without one, ``end`` is called with the
    signal's name and whether the process then dies of the signal, so that its exit status is as ever. It does not as
    process 1 of a container, or if a handler that the script set later has called this one.
    """

    def __init__(self, request: Callable[[], None], end: Callable[[str, bool], None]) -> None:
        self._request = request
        self._end = end
        self._previous: Dict[int, Any] = {}
        self._is_ending = False
        if threading.current_thread() is not threading.main_thread():  # Python sets handlers only in the main thread
            _LOGGER.info("start() was not called in the main thread: a signal ends the worker without a last push")
            return
        for number in _ENDING:
            previous: Any = signal.getsignal(number)
            while isinstance(getattr(previous, "__self__", None), Signals):
                previous = previous.__self__._previous.get(number)  # of a worker that another thread closed
            # An ignored signal stays ignored (nohup); None is a handler in C, which cannot be called from here.
            if previous not in (signal.SIG_IGN, None):
                self._previous[number] = previous
                signal.signal(number, self._handle)

    def close(self) -> None:
        """Restore the handlers; called outside the main thread, they stay and do what the previous ones do."""
        self._request, self._end = lambda: None, lambda name, is_fatal: None
        if threading.current_thread() is threading.main_thread():
            for number, previous in self._previous.items():
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, previous)

    def after_fork_in_child(self) -> None:
        """In a forked child: see to it that a waiting main thread handles signals.

        A signal that arrives just before the main thread waits for a lock is handled after that. In a pool's idle
        process that is never, and its parent waits for it. The thread that :meth:`_remind` runs in sends it again.
        """
        if not self._previous:
            return
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)  # C writes the number of each signal to it
        threading.Thread(target=self._remind, args=(reading,), name="sedna-metrics-signals", daemon=True).start()

    def _remind(self, pipe: int) -> None:
        while True:
            number = os.read(pipe, 1)[0]
            time.sleep(REMINDER_SECONDS)
            is_ours = number in self._previous and signal.getsignal(number) == self._handle
            if is_ours and not self._is_ending and not callable(self._previous[number]):
                signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        previous = self._previous[number]
        if callable(previous):
            self._request()
            previous(number, frame)
        elif self._is_ending:
            self._die(number)  # a second signal does not wait
        else:
            gevent: Any = sys.modules.get("gevent")
            if gevent is not None and gevent.getcurrent() is gevent.get_hub():
                gevent.spawn(self._finish, number)  # nothing may wait in gevent's event loop itself
            else:
                self._finish(number)

    def _finish(self, number: int) -> None:
        is_fatal = os.getpid() != 1 and signal.getsignal(number) == self._handle
        self._is_ending = is_fatal
        self._end(signal.Signals(number).name, is_fatal)
        if is_fatal:
            self._die(number)

    def _die(self, number: int) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
