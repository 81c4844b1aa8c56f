"""A real Kubernetes control plane: etcd and kube-apiserver with RBAC, on loopback.

``python tests/controlplane.py`` builds the programs from the Go module proxy into ``.cache/controlplane``: some ten
minutes on two cores, once. The tests that need them are skipped where they are not there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

CACHE = Path(os.environ.get("CONTROLPLANE", Path(__file__).resolve().parent.parent / ".cache" / "controlplane"))
KUBERNETES, ETCD = "1.34.4", "3.6.16"
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")


def missing() -> List[str]:
    """The programs that have not been built."""
    return [name for name in PROGRAMS if not (CACHE / name).exists()]


def build() -> None:
    """Build what is missing.

    Raises:
        RuntimeError: there is no Go.
        subprocess.CalledProcessError: it does not build.
    """
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise RuntimeError("there is no Go to build the control plane with")
    environ = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -trimpath"}
    for name in missing():
        module = CACHE / "modules" / ("etcd" if name == "etcd" else "kubernetes")
        module.mkdir(parents=True, exist_ok=True)
        lines = ["module x", "", "go 1.24.0", "godebug default=go1.24"]
        if name == "etcd":
            package = "go.etcd.io/etcd/server/v3"
            lines.append(f"require {package} v{ETCD}")
        else:
            package = f"k8s.io/kubernetes/cmd/{name}"
            lines.append(f"require k8s.io/kubernetes v{KUBERNETES}")
            command = [go, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"]
            (module / "go.mod").write_text("module x\n")
            found = json.loads(subprocess.run(command, cwd=module, env=environ, check=True, capture_output=True).stdout)
            staged = re.findall(r"^\s*(k8s\.io/\S+) => \./staging", Path(found["GoMod"]).read_text(), re.MULTILINE)
            staging = KUBERNETES.replace("1.", "0.", 1)
            lines += [f"replace {each} => {each} v{staging}" for each in staged]
        (module / "go.mod").write_text("\n".join(lines) + "\n")
        command = ["nice", "-n", "19", go, "build", "-o", str(CACHE / name), package]
        subprocess.run(command, cwd=module, env=environ, check=True)


class ControlPlane:
    """A running API server.

    Attributes:
        url: of the API server.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self.url = url

    def kubectl(self, *arguments: str, token: str = "admin", text: Optional[str] = None) -> str:
        """Output of a kubectl command.

        Raises:
            AssertionError: it fails, with what it says.
        """
        done = self.try_kubectl(*arguments, token=token, text=text)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_kubectl(
        self, *arguments: str, token: str = "admin", text: Optional[str] = None
    ) -> subprocess.CompletedProcess[str]:
        """The same, whether or not it fails."""
        command = [str(CACHE / "kubectl"), "--server", self.url, "--insecure-skip-tls-verify", "--token", token]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "KUBECONFIG": "/dev/null"}
        return subprocess.run([*command, *arguments], env=environ, input=text, capture_output=True, text=True)

    def get(self, *arguments: str) -> Any:
        """An object, as JSON has it."""
        return json.loads(self.kubectl("get", "--output", "json", *arguments))


@contextmanager
def running(folder: Path) -> Iterator[ControlPlane]:
    """A control plane in the body, with its files in ``folder``."""
    client, peer, secure = _free_ports(3)
    (folder / "tokens.csv").write_text('admin,admin,1,"system:masters"\n')
    key = folder / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    etcd_url = f"http://127.0.0.1:{client}"
    peer_url = f"http://127.0.0.1:{peer}"
    commands: Dict[str, List[str]] = {
        "etcd": [
            f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={etcd_url}", f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}", "--unsafe-no-fsync",
        ],
        "kube-apiserver": [
            f"--etcd-servers={etcd_url}", f"--cert-dir={folder / 'certificates'}", f"--secure-port={secure}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
            f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.0.0.0/24",
            "--feature-gates=MutatingAdmissionPolicy=true",
            "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
            "--disable-admission-plugins=ServiceAccount",  # its controller would have to make the accounts
        ],
    }  # fmt: skip
    processes = []
    try:
        for name, arguments in commands.items():
            log = (folder / f"{name}.log").open("w")
            processes.append(subprocess.Popen([str(CACHE / name), *arguments], stdout=log, stderr=log))
            log.close()
        plane = ControlPlane(folder, f"https://127.0.0.1:{secure}")
        deadline = time.monotonic() + 120
        while plane.try_kubectl("get", "--raw", "/readyz").returncode:
            if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
                raise RuntimeError((folder / "kube-apiserver.log").read_text()[-2000:])
            time.sleep(0.5)
        yield plane
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _free_ports(count: int) -> List[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


if __name__ == "__main__":
    build()
    print(f"{', '.join(PROGRAMS)}: {CACHE}")
    sys.exit(0)
