"""Joint inference, cloud worker: the big model, served over HTTP. It fails now and then, as clouds do."""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sklearn.svm import SVC

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from digits import digits
from truth import Truth

worker = sedna_metrics.start()
many = digits(0, 900)
big_model = SVC().fit(many.pixels, many.labels)
served = failed = 0
lock = threading.Lock()


@worker.joint_inference.serve
def infer(image):
    if (served + failed) % 40 == 39:
        raise RuntimeError("the cloud has hiccups")
    return int(big_model.predict([image])[0])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: apart, they cost 40 ms an answer (Nagle)

    def do_POST(self) -> None:
        global served, failed
        image = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            try:
                body, status = json.dumps(infer(image)).encode(), 200
                served += 1
            except RuntimeError as error:
                body, status = str(error).encode(), 503
                failed += 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    address = (os.environ.get("BIG_MODEL_BIND_IP", "127.0.0.1"), int(os.environ.get("BIG_MODEL_BIND_PORT", "5000")))
    with ThreadingHTTPServer(address, Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        if "DEMO_FOLDER" not in os.environ:
            threading.Event().wait()
        folder = Path(os.environ["DEMO_FOLDER"])
        while not list(folder.glob("edgeworker-*.json")):
            threading.Event().wait(0.1)
        truth = Truth()
        truth.expect("", "sedna_served_inferences_total", served)
        truth.expect("", "sedna_served_inference_errors_total", failed)
        truth.publish(stay=True)
        server.shutdown()


if __name__ == "__main__":
    main()
