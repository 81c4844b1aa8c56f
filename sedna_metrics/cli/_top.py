"""``sedna-metrics top``: what workers are doing, as a table that is drawn again and again."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple
from urllib.parse import urlsplit, urlunsplit

import requests

from sedna_metrics._http import Session, read_bounded, reason
from sedna_metrics._urls import strip_secrets
from sedna_metrics.cli._workers import SORTABLE, Labels, Row, Samples, figures, samples_by_worker, table
from sedna_metrics.errors import SettingError

TIMEOUT_SECONDS = 3.0
MAX_ANSWER_BYTES = 32 << 20
MAX_FILE_BYTES = 1 << 20
_TARGET = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}\Z")
_CLEAR = "\x1b[H\x1b[J"


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "top",
        help="watch workers live",
        description="Watch workers; Ctrl-C ends it. Without a terminal it prints the table once, after two looks. "
        "Ends with 1 if no source answers.",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a worker's or a Pushgateway's URL or host:port; a file_sd folder"
    )
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between looks; default: 2")
    parser.add_argument("--sort", choices=SORTABLE, default="task", help="the column to sort by; default: task")
    parser.add_argument("--ca-file", default="", metavar="FILE", help="CA certificates for the sources' certificates")
    parser.add_argument("--cert-file", default="", metavar="FILE", help="a client certificate")
    parser.add_argument("--key-file", default="", metavar="FILE", help="its key, if it is not in the same file")
    parser.add_argument("--bearer-token-file", default="", metavar="FILE", help="a token, sent to every https source")
    parser.add_argument("--token-over-http", action="store_true", help="send the token to http sources as well")


def run(arguments: argparse.Namespace) -> int:
    """Draw the table until Ctrl-C, or print it once; 1 if no source answers, 2 if a source is not one."""
    interval = max(0.1, arguments.interval)
    watch = Watch(arguments)
    if sys.stdout.isatty():
        try:
            while True:
                _draw(watch.look(), arguments.sort)
                time.sleep(interval)
        except KeyboardInterrupt:
            print()
            return 0
    watch.look()
    time.sleep(interval)
    rows = watch.look()
    print(table(rows, arguments.sort) if rows else "no worker is there", file=sys.stdout if rows else sys.stderr)
    return 0 if any("problem" not in row for row in rows) else 1


def _draw(rows: List[Row], sort: str) -> None:
    width, height = shutil.get_terminal_size()
    lines = (table(rows, sort, width) if rows else "no worker yet").splitlines()[: height - 2]
    foot = f"{time.strftime('%H:%M:%S')}  {len(rows)} rows by {sort}; Ctrl-C ends"
    print(_CLEAR + "\n".join([*lines, "", foot[:width]]), end="", flush=True)


class Watch:
    """Looks at sources, and remembers each worker's last samples for the rates.

    A source is a URL, ``host:port``, or a folder of file_sd files; anything else raises SettingError.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._folders = [Path(source) for source in options.sources if os.path.isdir(source)]
        self._urls = [_url(source) for source in options.sources if not os.path.isdir(source)]
        self._before: Dict[Tuple[str, Labels], Tuple[float, Samples]] = {}

    def targets(self) -> List[str]:
        """The URLs to read now, each once."""
        found = [url for folder in self._folders for url in _entries(folder)]
        return list(dict.fromkeys([*self._urls, *found]))

    def look(self) -> List[Row]:
        """All workers, and the sources that do not answer. Waits no longer than a second over the time limit."""
        urls = self.targets()
        found: Dict[str, Any] = dict.fromkeys(urls, f"no answer within {TIMEOUT_SECONDS:g} s")

        def look_at(url: str) -> None:
            found[url] = read(url, self._options)

        # Daemons: a source that trickles must not keep us from ending.
        threads = [threading.Thread(target=look_at, args=(url,), daemon=True) for url in urls]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + TIMEOUT_SECONDS + 1
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [row for url in urls for row in self._rows(url, found[url])]

    def _rows(self, url: str, found: Any) -> Iterator[Row]:
        if isinstance(found, str):
            yield {"TASK": "?", "WORKER": strip_secrets(url), "STATE": found, "problem": True}
            return
        now = time.monotonic()
        for who, samples in found.items():
            then, before = self._before.get((url, who), (now, samples))
            self._before[url, who] = (now, samples)
            yield figures(who, samples, before, now - then)


def _url(source: str) -> str:
    """The URL to read: without a path it is /metrics."""
    parts = urlsplit(f"http://{source}" if _TARGET.match(source.rstrip("/")) else source)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise SettingError(f"{source} is neither a URL, nor host:port, nor a folder")
    return source if parts.path.strip("/") else urlunsplit(parts._replace(path="/metrics"))


def _entries(folder: Path) -> Iterator[str]:
    """The URLs in the folder's file_sd files."""
    for path in sorted(folder.glob("sedna-*.json")):
        with suppress(Exception):  # it is being written or removed just now, or not ours: the next look will tell
            is_small = path.is_file() and path.stat().st_size < MAX_FILE_BYTES
            for group in json.loads(path.read_text(encoding="utf-8")) if is_small else []:
                scheme = "https" if group.get("labels", {}).get("__scheme__") == "https" else "http"
                yield from (f"{scheme}://{target}/metrics" for target in group["targets"] if _TARGET.match(target))


def read(url: str, options: argparse.Namespace) -> Any:
    """Each worker's samples, or a text that says why there are none. Does not raise."""
    try:
        headers = {"Accept-Encoding": "identity"}
        if options.bearer_token_file:  # read at each look: tokens of pods change
            if not (options.token_over_http or url.startswith("https:")):
                return "not asked: the token would go over http (--token-over-http)"
            headers["Authorization"] = f"Bearer {Path(options.bearer_token_file).read_text(encoding='utf-8').strip()}"
        with Session() as session:
            session.trust_env = False  # no password from a .netrc file
            session.verify = options.ca_file or True
            session.cert = (options.cert_file, options.key_file) if options.key_file else options.cert_file or None
            answer = session.get(url, headers=headers, timeout=TIMEOUT_SECONDS, stream=True)
            body = read_bounded(answer, MAX_ANSWER_BYTES, 1 << 16, TIMEOUT_SECONDS)
        return samples_by_worker(body.decode("utf-8")) if answer.status_code == 200 else f"answers {answer.status_code}"
    except requests.RequestException as why:
        return reason(why)
    except Exception as why:  # whatever a hostile exporter can make of a parser
        return str(why) if isinstance(why, OSError) else "answers without metrics"
