"""Where ``top`` looks: workers' /metrics, folders of file_sd entries, a Pushgateway."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, Optional, Tuple

import requests
import urllib3
from prometheus_client.parser import text_string_to_metric_families as parse

from sedna_metrics._urls import strip_secrets
from sedna_metrics.catalogue import ALL, worker

TIMEOUT_SECONDS = 3.0
_THREADS = 16
_MOST_BYTES = 64 * 2**20
_TOO_SLOW = f"no answer within {TIMEOUT_SECONDS:g} s"

Labels = Tuple[Tuple[str, str], ...]
Samples = Dict[Tuple[str, Labels], float]
"""Values by name and labels, in the labels' order."""


@dataclass(frozen=True)
class Look:
    """What one source said: each worker's samples, or why there are none."""

    source: str
    workers: Mapping[Labels, Samples]
    """By the labels that tell the worker apart."""
    problem: str = ""


@dataclass(frozen=True)
class Access:
    """How to make oneself known, and whom to believe; a user and a password may also stand in the URL."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    """May be in ``cert_file`` too."""
    bearer_token_file: str = ""
    """Read at each look: tokens of pods change."""

    def of_request(self) -> Dict[str, Any]:
        """Arguments for ``requests``.

        Raises:
            OSError: the token cannot be read.
        """
        token = Path(self.bearer_token_file).read_text(encoding="utf-8").strip() if self.bearer_token_file else ""
        return {
            "verify": self.ca_file or True,
            "cert": ((self.cert_file, self.key_file) if self.key_file else self.cert_file) or None,
            "auth": _Bearer(token) if token else None,
        }


class _Bearer(requests.auth.AuthBase):
    # Not as a header, which an entry in ~/.netrc would replace.
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def targets(sources: Iterable[str]) -> List[str]:
    """The URLs to ask. A folder stands for its file_sd entries; a bare host:port for its /metrics.

    Raises:
        ValueError: what is neither a URL nor a folder.
    """
    found: Dict[str, None] = {}
    for source in sources:
        folder = Path(source)
        if "://" in source:
            found[source if source.count("/") > 2 else f"{source}/metrics"] = None
        elif folder.is_dir():
            found.update(dict.fromkeys(_entries(folder)))
        elif source.rpartition(":")[2].isdigit():
            found[f"http://{source}/metrics"] = None
        else:
            raise ValueError(f"{source} is neither a URL, nor host:port, nor a folder")
    return list(found)


def look(urls: List[str], access: Optional[Access] = None) -> List[Look]:
    """Ask all of them at once; gives their answers in the same order. None of them raises, or holds the others up."""
    access = access or Access()
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    answers: queue.SimpleQueue[Tuple[str, Look]] = queue.SimpleQueue()
    for url in urls:
        waiting.put(url)

    def ask() -> None:
        while True:
            try:
                url = waiting.get_nowait()
            except queue.Empty:
                return
            answers.put((url, _ask(url, access)))

    # Daemons: a limit on a socket is one for each wait, and who trickles must not keep us from quitting.
    for _ in range(min(_THREADS, len(urls))):
        threading.Thread(target=ask, daemon=True).start()
    found: Dict[str, Look] = {}
    deadline = time.monotonic() + (TIMEOUT_SECONDS + 1) * (1 + len(urls) // _THREADS)
    while len(found) < len(urls):
        try:
            url, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[url] = answer
    return [found.get(url) or Look(strip_secrets(url), {}, _TOO_SLOW) for url in urls]


def _entries(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("sedna-*.json")):
        try:
            for group in json.loads(path.read_text(encoding="utf-8")):
                scheme = group.get("labels", {}).get("__scheme__", "http")
                yield from (f"{scheme}://{target}/metrics" for target in group["targets"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # one that is being written or removed just now, or not ours: the next look will tell


def _ask(url: str, access: Access) -> Look:
    name = strip_secrets(url)
    try:
        with requests.get(url, timeout=TIMEOUT_SECONDS, stream=True, **access.of_request()) as answer:
            answer.raise_for_status()
            body = answer.raw.read(_MOST_BYTES, decode_content=True)
        return Look(name, _by_worker(body.decode("utf-8")))
    except requests.RequestException as error:
        response = getattr(error, "response", None)
        return Look(name, {}, f"answers {response.status_code}" if response is not None else _reason(error))
    except OSError as error:  # a file of the access's
        return Look(name, {}, str(error))
    except (ValueError, urllib3.exceptions.HTTPError):  # the latter of a body that ends early
        return Look(name, {}, "answers what are no metrics")


def _by_worker(text: str) -> Dict[Labels, Samples]:
    workers: Dict[Labels, Samples] = {}
    for family in parse(text):
        for sample in family.samples:
            own = _OWN_LABELS.get(sample.name)
            if own is None or "worker" not in sample.labels:
                continue
            # In a Pushgateway two workers may have the same name on two nodes: the group's instance tells them apart.
            who = tuple((name, sample.labels[name]) for name in ("instance", "task", "worker") if name in sample.labels)
            # The group's other labels are on every sample there, and on none where a worker is asked itself.
            labels = tuple(sorted((name, text) for name, text in sample.labels.items() if name in own))
            workers.setdefault(who, {})[sample.name, labels] = sample.value
    return {who: samples for who, samples in workers.items() if any(name == _IS_OURS for name, _ in samples)}


_IS_OURS = worker.WORKER_INFO.name
_OWN_LABELS: Dict[str, FrozenSet[str]] = {
    metric.name + suffix: frozenset((*metric.labels, *more))
    for metric in ALL
    for suffix, more in ((("_bucket", ["le"]), ("_count", [])) if metric.form == "histogram" else (("", []),))
}
"""What a sample's name has of labels, those of every series left out."""


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return _TOO_SLOW
    if "refused" in str(error):
        return "refuses the connection"
    # By its text, which changed with urllib3 2: the exception that says so by its type is wrapped away.
    return "no such host" if re.search("resolve|not known", str(error)) else type(error).__name__
