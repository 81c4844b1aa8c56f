"""The bundle: one zip file with the library and its dependencies for every Python from 3.6 on.

pip downloads the wheels, in the pinned versions of :data:`PACKAGES`. They are all pure Python. What an image has of its
own is used instead (see ``autoload.py``). The same wheels give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, List, Optional

from sedna_metrics._version import __version__
from sedna_metrics.errors import SednaMetricsError

PACKAGES: Dict[str, List[str]] = {
    "": [
        f"sedna-metrics=={__version__}",
        "prometheus-client==0.17.1",
        "python-json-logger==2.0.7",
        "urllib3==1.26.20",
        "charset-normalizer==2.0.12",
        "idna==3.10",
        "certifi==2025.4.26",
    ],
    "py36/": ["requests==2.27.1"],
    "py38/": ["requests==2.32.4"],
}
"""Packages by folder in the bundle: for all Pythons, for 3.6 and 3.7, for 3.8 and later.

The wheel of sedna-metrics for old Pythons runs on all. requests 2.27.1 is the last for Python 3.6. certifi has to be at
the top: Python 3.7 and 3.8 find no data files of packages in a folder of a zip file.
"""

PYTHONS = tuple(range(6, 16))
"""Minor versions of Python 3 whose interpreters find the bundle."""

CONFIG_MAP = "sedna-metrics"
PTH = (
    'import sys; exec("try:\\n import _sedna_metrics_autoload\\nexcept BaseException as why:\\n '
    "sys.stderr.write('sedna-metrics: not loaded: %r\\\\n' % (why,))\")\n"
)
_LEFT_OUT = re.compile(r"sedna_metrics/stack/files/|.*\.dist-info/(?!.*LICEN[CS]E)|.*/py\.typed$|.*\.pyi$")
_DATE = (2020, 1, 1, 0, 0, 0)


def build(wheels: Optional[Path]) -> bytes:
    """The bundle. ``wheels`` is a folder with our wheel for Python 3.6 (``make dist``), if the index lacks it."""
    content: Dict[str, bytes] = {"_sedna_metrics_autoload.py": autoload(), "sedna-metrics.pth": PTH.encode()}
    manifest = {}
    with tempfile.TemporaryDirectory() as temporary:
        for folder, packages in PACKAGES.items():
            downloads = Path(temporary, folder or "all")
            _download(packages, "3.8" if folder == "py38/" else "3.6", downloads, wheels)
            for wheel in sorted(downloads.glob("*.whl")):
                manifest[folder + wheel.name] = hashlib.sha256(wheel.read_bytes()).hexdigest()
                with zipfile.ZipFile(wheel) as archive:
                    for name in archive.namelist():
                        if not name.endswith("/") and not _LEFT_OUT.match(name):
                            content[folder + name] = archive.read(name)
    content["MANIFEST.json"] = json.dumps(manifest, indent=2, sort_keys=True).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as bundle:
        for name in sorted(content):
            bundle.writestr(zipfile.ZipInfo(name, _DATE), content[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()


def config_map(bundle: bytes) -> str:
    """The manifest of the ConfigMap that pods mount, as JSON, which is YAML. Needs server-side apply: it is large."""
    resource = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "labels": {"app.kubernetes.io/version": __version__}},
        "data": {"sedna-metrics.pth": PTH, "autoload.py": autoload().decode()},
        "binaryData": {"bundle.zip": base64.b64encode(bundle).decode()},
    }
    return json.dumps(resource, indent=2)


def autoload() -> bytes:
    return Path(__file__).with_name("autoload.py").read_bytes()


def _download(packages: List[str], python: str, folder: Path, wheels: Optional[Path]) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    target = ["--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", python]
    where = ["--find-links", str(wheels.resolve())] if wheels else []
    command += [*target, *where, "--dest", str(folder), *packages]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    if done.returncode:
        hint = "--wheels names a folder with wheels that pip cannot find"
        raise SednaMetricsError(f"pip cannot download {', '.join(packages)} ({hint}): {done.stdout.strip()[-300:]}")
