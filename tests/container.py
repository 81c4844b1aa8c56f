"""A container's process on this machine, as near as it goes without a container: run under ``unshare --mount --net``.

Reads a description from stdin, as JSON: ``mounts`` (path: [folder, is it read-only]), ``env``, ``command`` and
``gateway`` (a Pushgateway's program). The process has the description's environment and nothing else, the mounts at
their real paths, a read-only file system, and a network of its own. Writes what can be scraped, or was pushed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def prepare(mounts: dict) -> None:
    mount("--make-rprivate", "/")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for top in sorted({str(Path(*Path(path).resolve().parts[:2])) for path in mounts}):
        mount("-t", "tmpfs", "tmpfs", top)
    hosts = Path("/opt/hosts")
    hosts.write_text("127.0.0.1 localhost pushgateway.monitoring\n")
    mount("--bind", str(hosts), "/etc/hosts")
    for path, (folder, is_read_only) in mounts.items():
        Path(path).mkdir(parents=True)
        mount("--bind", *(["-o", "ro"] if is_read_only else []), folder, path)
    mount("-o", "remount,bind,ro", "/")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def eventually(ask, seconds: float = 30.0) -> str:
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = ask()
        except OSError as why:
            found, problem = "", str(why)
        else:
            problem = "nothing there"
        if found:
            return found
        if time.monotonic() > deadline:
            return f"# {problem}\n"
        time.sleep(0.1)


def targets() -> str:
    """The address in the file_sd file."""
    files = list(Path("/var/run/sedna-metrics/targets").glob("*.json"))
    return json.loads(files[0].read_text())[0]["targets"][0] if files else ""


def main() -> None:
    spec = json.load(sys.stdin)
    prepare(spec["mounts"])
    env = spec["env"]
    gateway = subprocess.Popen(
        [spec["gateway"], "--web.listen-address=127.0.0.1:9091", "--persistence.file="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: get("http://127.0.0.1:9091/-/ready"))
    process = subprocess.Popen(
        spec["command"], env=env, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if "SEDNA_METRICS_PUSHGATEWAY_URL" in env:
        status = process.wait(60)
        found = get("http://127.0.0.1:9091/metrics")
    else:

        def scraped() -> str:
            address = targets() if "SEDNA_METRICS_SD_DIR" in env else f"{env['POD_IP']}:{env['SEDNA_METRICS_PORT']}"
            text = get(f"http://{address}/metrics") if address else ""
            return text if spec["until"] in text else ""

        found, status = eventually(scraped), None
        process.terminate()
    gateway.terminate()
    print(json.dumps({"metrics": found, "status": status, "output": process.communicate(timeout=30)[0]}))


if __name__ == "__main__":
    main()
