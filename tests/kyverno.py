"""Kyverno's command, which applies policies to files. ``python tests/kyverno.py`` builds it: some minutes, once."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Optional

from controlplane import go

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "kyverno"
VERSION = "1.13.4"
PROGRAM = "github.com/kyverno/kyverno/cmd/cli/kubectl-kyverno"
_FORK = "github.com/kyverno/pod-security-admission v0.0.0-20240715131510-7fb54a8d376d"  # as its own go.mod has it
MODULE = f"""module x

go 1.22.8

require github.com/kyverno/kyverno v{VERSION}

replace k8s.io/pod-security-admission v0.31.0 => {_FORK}
"""


def find() -> Optional[str]:
    """The program, or ``None`` if it has not been built."""
    return shutil.which("kyverno") or (str(CACHE / "kyverno") if (CACHE / "kyverno").exists() else None)


def build() -> None:
    """Build it.

    Raises:
        RuntimeError: there is no Go.
        subprocess.CalledProcessError: it does not build.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "go.mod").write_text(MODULE)
    go(CACHE, "build", "-o", "kyverno", PROGRAM)


if __name__ == "__main__":
    if find() is None:
        build()
    print(f"kyverno: {find()}", file=sys.stderr)
