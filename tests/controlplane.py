"""A real Kubernetes control plane: etcd, kube-apiserver with RBAC and, where asked for, controllers and scheduler.

``python tests/controlplane.py`` builds the programs from the Go module proxy into ``.cache/controlplane``, and a
Prometheus with Kubernetes' discovery, which Debian's lacks: some twelve minutes on two cores, once. The tests that need
them are skipped where they are not there.
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
from typing import Any, Dict, Iterator, List, Optional, Sequence

import requests

CACHE = Path(os.environ.get("CONTROLPLANE", Path(__file__).resolve().parent.parent / ".cache" / "controlplane"))
KUBERNETES, ETCD, PROMETHEUS = "1.34.4", "3.6.16", "0.316.0"
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")
ALL = (*PROGRAMS, "kube-controller-manager", "kube-scheduler", "prometheus")


def missing(names: Sequence[str] = PROGRAMS) -> List[str]:
    """The programs that have not been built."""
    return [name for name in names if not (CACHE / name).exists()]


def go(module: Path, *arguments: str) -> str:
    """Output of a command of Go's in a module, at low priority.

    Raises:
        RuntimeError: there is no Go.
        subprocess.CalledProcessError: it fails.
    """
    program = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if program is None:
        raise RuntimeError("there is no Go to build programs with")
    environ = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -trimpath"}
    command = ["nice", "-n", "19", program, *arguments]
    return subprocess.run(command, cwd=module, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout


def build() -> None:
    """Build what is missing.

    Raises:
        RuntimeError: there is no Go.
        subprocess.CalledProcessError: it does not build.
    """
    for name in missing(ALL):
        module = CACHE / "modules" / (name if name in ("etcd", "prometheus") else "kubernetes")
        module.mkdir(parents=True, exist_ok=True)
        lines = ["module x", "", "go 1.24.0", "godebug default=go1.24"]
        tags = ""
        if name == "etcd":
            package = "go.etcd.io/etcd/server/v3"
            lines.append(f"require {package} v{ETCD}")
        elif name == "prometheus":
            package, tags = "github.com/prometheus/prometheus/cmd/prometheus", "remove_all_sd,enable_kubernetes_sd"
            lines = ["module x", "", "go 1.25.0", f"require github.com/prometheus/prometheus v{PROMETHEUS}"]
        else:
            package = f"k8s.io/kubernetes/cmd/{name}"
            lines.append(f"require k8s.io/kubernetes v{KUBERNETES}")
            (module / "go.mod").write_text("module x\n")
            found = json.loads(go(module, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"))
            staged = re.findall(r"^\s*(k8s\.io/\S+) => \./staging", Path(found["GoMod"]).read_text(), re.MULTILINE)
            staging = KUBERNETES.replace("1.", "0.", 1)
            lines += [f"replace {each} => {each} v{staging}" for each in staged]
        (module / "go.mod").write_text("\n".join(lines) + "\n")
        go(module, "build", "-tags", tags, "-o", str(CACHE / name), package)


class ControlPlane:
    """A running API server.

    Attributes:
        url: of the API server.
        certificate: file with what its certificate is checked against.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self.url = url
        self.certificate = folder / "certificates" / "apiserver.crt"
        self._session = requests.Session()
        self._session.headers["Authorization"] = "Bearer admin"
        self._session.trust_env = False

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Answer of the API server, or ``None`` where the object is not there.

        Raises:
            requests.HTTPError: any other error, with what it says.
        """
        headers = {"Content-Type": f"application/{'merge-patch+' if method == 'PATCH' else ''}json"}
        done = self._session.request(
            method, self.url + path, json=body, headers=headers, verify=str(self.certificate), timeout=30
        )
        if done.status_code == 404:
            return None
        if done.status_code == 429:  # the store of a new kind is not ready
            time.sleep(1)
            return self.call(method, path, body)
        if not done.ok:
            raise requests.HTTPError(f"{method} {path}: {done.text}", response=done)
        return done.json()

    def create(self, resource: Any) -> Any:
        """Create a resource by kubectl; returns what the API server made of it."""
        return json.loads(self.kubectl("create", "-f", "-", "-o", "json", text=json.dumps(resource)))

    def apply_policy(self, path: Path) -> None:
        """Apply the injection's admission policy, and wait until the API server obeys it."""
        self.kubectl("apply", "--validate=strict", "-f", str(path))
        probe = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "probe-", "labels": {"jointinferenceservice.sedna.io/name": "helmet"}},
            "spec": {"containers": [{"name": "w", "image": "x"}]},
        }
        deadline = time.monotonic() + 60
        while "volumes" not in self.create(probe)["spec"]:
            assert time.monotonic() < deadline, "the policy does nothing"
            time.sleep(0.5)

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

    def config(self, path: Path, token: str = "admin") -> Path:
        """Write a configuration for clients."""
        config = {
            "clusters": [
                {"name": "x", "cluster": {"server": self.url, "certificate-authority": str(self.certificate)}}
            ],
            "users": [{"name": "x", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(config))
        return path

    def get(self, *arguments: str) -> Any:
        """An object, as JSON has it."""
        return json.loads(self.kubectl("get", "--output", "json", *arguments))


@contextmanager
def running(folder: Path, address: str = "127.0.0.1", with_controllers: bool = False) -> Iterator[ControlPlane]:
    """A control plane in the body, with its files in ``folder``; the API server listens on ``address``."""
    client, peer, secure, *others = _free_ports(5)
    (folder / "tokens.csv").write_text('admin,admin,1,"system:masters"\nnobody,nobody,2\n')
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
            f"--bind-address={address}", f"--advertise-address={address}", "--endpoint-reconciler-type=none",
            f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.0.0.0/24",
            "--feature-gates=MutatingAdmissionPolicy=true",
            "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
            # The controllers make the accounts.
            *([] if with_controllers else ["--disable-admission-plugins=ServiceAccount"]),
        ],
    }  # fmt: skip
    processes: List[subprocess.Popen[bytes]] = []

    def start(name: str, arguments: List[str]) -> None:
        with (folder / f"{name}.log").open("w") as log:
            processes.append(subprocess.Popen([str(CACHE / name), *arguments], stdout=log, stderr=log))

    try:
        for name, arguments in commands.items():
            start(name, arguments)
        plane = ControlPlane(folder, f"https://{address}:{secure}")
        deadline = time.monotonic() + 120
        while plane.try_kubectl("get", "--raw", "/readyz").returncode:
            if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
                raise RuntimeError((folder / "kube-apiserver.log").read_text()[-2000:])
            time.sleep(0.5)
        if with_controllers:
            config = plane.config(folder / "kubeconfig")
            common = [f"--kubeconfig={config}", "--leader-elect=false", "--bind-address=127.0.0.1"]
            start("kube-scheduler", [*common, f"--secure-port={others[0]}"])
            start("kube-controller-manager", [
                *common, f"--secure-port={others[1]}", f"--service-account-private-key-file={key}",
                f"--root-ca-file={plane.certificate}", "--kube-api-qps=200",
                # No kubelet renews a lease, and nothing measures what an autoscaler asks for.
                "--controllers=*,-node-lifecycle-controller,-horizontal-pod-autoscaler-controller",
            ])  # fmt: skip
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
    print(f"{', '.join(ALL)}: {CACHE}")
    sys.exit(0)
