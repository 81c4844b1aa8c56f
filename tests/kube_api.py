"""A stand-in for a Kubernetes API server: lists and watches what a test puts there.

There is no cluster to be had in the tests; kube-state-metrics, which asks it, is the real one.
"""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Tuple
from urllib.parse import parse_qs, urlsplit

Resource = Dict[str, Any]


class KubeApi:
    """Serves resources on loopback while its block runs.

    ``put`` and ``delete`` change what is there, and tell those who watch.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 1
        self._objects: Dict[str, Dict[Tuple[str, str], Resource]] = {}
        self._watchers: Dict[str, List[queue.Queue[Resource]]] = {}
        self.asked: List[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api._answer(self)

            def log_message(self, *_: Any) -> None:
                """Requests are kept in ``asked``."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> KubeApi:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, resource: Resource) -> None:
        """Add the resource, or put it in the place of the one of its name."""
        kept = self._objects.setdefault(_path(resource), {})
        with self._lock:
            self._version += 1
            resource = {**resource, "metadata": {**resource["metadata"], "resourceVersion": str(self._version)}}
            key = (resource["metadata"].get("namespace", ""), resource["metadata"]["name"])
            self._tell(_path(resource), "MODIFIED" if key in kept else "ADDED", resource)
            kept[key] = resource

    def delete(self, resource: Resource) -> None:
        """Take the resource away."""
        with self._lock:
            self._version += 1
            key = (resource["metadata"].get("namespace", ""), resource["metadata"]["name"])
            self._tell(_path(resource), "DELETED", self._objects[_path(resource)].pop(key))

    def _tell(self, path: str, kind: str, resource: Resource) -> None:
        for watcher in self._watchers.get(path, []):
            watcher.put({"type": kind, "object": resource})

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query)
        self.asked.append(path)
        if path == "/version":
            self._send(request, {"major": "1", "minor": "31", "gitVersion": "v1.31.0"})
        elif query.get("watch") in (["true"], ["1"]):
            self._watch(request, path, is_list_wanted="sendInitialEvents" in query)
        else:
            with self._lock:
                items = list(self._objects.get(path, {}).values())
                metadata = {"resourceVersion": str(self._version)}
            kind, version = self._kind_at(path)
            self._send(request, {"kind": kind + "List", "apiVersion": version, "metadata": metadata, "items": items})

    def _kind_at(self, path: str) -> Tuple[str, str]:
        """Kind and API version of what is at the path, also where nothing is there."""
        version = "/".join(path.split("/")[2:-1])
        first = next(iter(self._objects.get(path, {}).values()), None)
        return first["kind"] if first else _EMPTY.get(path, ""), version

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, answer: Any) -> None:
        body = json.dumps(answer).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _watch(self, request: BaseHTTPRequestHandler, path: str, is_list_wanted: bool) -> None:
        news: queue.Queue[Resource] = queue.Queue()
        with self._lock:
            if is_list_wanted:
                for resource in self._objects.get(path, {}).values():
                    news.put({"type": "ADDED", "object": resource})
                # Says that what was there at the start has been told.
                end = {"resourceVersion": str(self._version), "annotations": {"k8s.io/initial-events-end": "true"}}
                kind, version = self._kind_at(path)
                news.put({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": version, "metadata": end}})
            self._watchers.setdefault(path, []).append(news)
        request.close_connection = True
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Connection", "close")
        request.end_headers()
        try:
            while True:
                request.wfile.write(json.dumps(news.get(timeout=300)).encode() + b"\n")
                request.wfile.flush()
        except (OSError, queue.Empty):
            return  # who watched has gone


_EMPTY = {"/api/v1/pods": "Pod", "/apis/batch/v1/jobs": "Job", "/api/v1/nodes": "Node"}


def _path(resource: Resource) -> str:
    version = resource["apiVersion"]
    return f"/{'apis' if '/' in version else 'api'}/{version}/{resource['kind'].lower()}s"


def definition(kind: str, group: str, version: str) -> Resource:
    """The definition of a custom resource, as far as it is asked for."""
    plural = kind.lower() + "s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True}],
        },
        "status": {
            "acceptedNames": {"kind": kind, "plural": plural},
            "conditions": [{"type": "Established", "status": "True"}],
            "storedVersions": [version],
        },
    }
