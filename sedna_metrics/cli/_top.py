"""``sedna-metrics top``: a live view of workers."""

from __future__ import annotations

import argparse
import os
import select
import shutil
import sys
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List

from sedna_metrics.top import screen
from sedna_metrics.top.figures import Figures, Watch
from sedna_metrics.top.sources import Access, look, targets

_CLEAR = "\x1b[H\x1b[J"
_ALTERNATE, _NORMAL = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_BOLD, _RED, _DIM, _RESET = "\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def add_to(commands: Any) -> None:
    """Add this command to the parser."""
    parser = commands.add_parser(
        "top",
        help="watch workers live",
        description="Watch workers live. Keys: q quits; "
        + ", ".join(f"{key} sorts by {name}" for key, (name, _) in screen.KEYS.items())
        + ". Without a terminal two looks are taken, and the table is printed once.",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a worker's or a Pushgateway's URL or host:port; a file_sd folder"
    )
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between looks; default: 2")
    parser.add_argument("--sort", choices=[name for name, _ in screen.KEYS.values()], default="task")
    parser.add_argument("--ca-file", default="", metavar="FILE", help="who signed the certificates of the sources")
    parser.add_argument("--cert-file", default="", metavar="FILE", help="a certificate to make oneself known by")
    parser.add_argument("--key-file", default="", metavar="FILE", help="its key, where it is not in the same file")
    parser.add_argument("--bearer-token-file", default="", metavar="FILE", help="a token, sent to every source")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Watch until the reader has seen enough; 1 where there is nothing to see."""
    key = next(key for key, (name, _) in screen.KEYS.items() if name == arguments.sort)
    interval = max(0.1, arguments.interval)
    try:
        targets(arguments.sources)
    except ValueError as problem:
        print(f"sedna-metrics top: {problem}", file=sys.stderr)
        return 2
    access = Access(arguments.ca_file, arguments.cert_file, arguments.key_file, arguments.bearer_token_file)
    watch = Watch()

    def see() -> List[Figures]:
        return watch.see(look(targets(arguments.sources), access), time.monotonic())

    if sys.stdin.isatty() and sys.stdout.isatty():
        _live(see, interval, key)
        return 0
    see()
    time.sleep(interval)
    figures = see()
    if not figures:
        print("sedna-metrics top: no worker is there", file=sys.stderr)
        return 1
    print(screen.plain(screen.ordered(figures, key)))
    return 0


def _live(see: Callable[[], List[Figures]], interval: float, key: str) -> None:
    with _terminal():
        while True:
            figures = see()
            until = time.monotonic() + interval
            while True:
                _draw(figures, key)
                pressed = _key(until - time.monotonic())
                if pressed in ("q", "\x03", "\x04"):
                    return
                if not pressed:
                    break
                key = pressed if pressed in screen.KEYS else key


@contextmanager
def _terminal() -> Iterator[None]:
    """Keys come as they are pressed, and what was on the terminal is back in the end."""
    import termios  # not where there are no terminals
    import tty

    before = termios.tcgetattr(sys.stdin)
    sys.stdout.write(_ALTERNATE)
    try:
        tty.setcbreak(sys.stdin)
        yield
    except KeyboardInterrupt:
        pass  # as good as q
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stdout.write(_NORMAL)
        sys.stdout.flush()


def _key(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], max(0.0, seconds))
    # Past Python's buffer, of which select knows nothing. An end of input is as good as q.
    return (os.read(sys.stdin.fileno(), 1).decode(errors="replace") or "q") if ready else ""


def _draw(figures: List[Figures], key: str) -> None:
    width, height = shutil.get_terminal_size()
    figures = screen.ordered(figures, key)
    heading, *body = screen.plain(figures).split("\n")
    styled = "NO_COLOR" not in os.environ
    lines = [_in(_BOLD, heading[:width], styled)]
    for each, line in zip(figures, body):
        wrong = each.problem or "failed" in each.state
        lines.append(_in(_RED, line[:width], styled and bool(wrong)))
    lines = lines[: height - 2] if body else [*lines, "no worker is there yet"]
    keys = "  ".join(f"{each} {name}" for each, (name, _) in screen.KEYS.items())
    foot = f"{time.strftime('%H:%M:%S')}  {len(figures)} workers, by {screen.KEYS[key][0]}  |  q quit  {keys}"
    sys.stdout.write(_CLEAR + "\r\n".join([*lines, "", _in(_DIM, foot[:width], styled)]))
    sys.stdout.flush()


def _in(style: str, text: str, styled: bool) -> str:
    return f"{style}{text}{_RESET}" if styled else text
