"""Builds the wheel for Python 3.6 and 3.7 from the same source: ``python tools/oldwheel.py FOLDER``.

Annotations become strings, which is what ``from __future__ import annotations`` makes of them in later versions; the
import itself, which Python 3.6 does not know, becomes an empty line. Nothing else changes, and line numbers stay.
"""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path
from typing import Iterator, List

ROOT = Path(__file__).resolve().parent.parent
#: The newest requests of each; on 3.8 and later a newer one is needed.
_NEWEST = ('requests>=2.27.1; python_version < "3.7"', 'requests>=2.31; python_version >= "3.7"')
_FUTURE = "from __future__ import annotations"


def with_string_annotations(source: str) -> str:
    """The module with its annotations as strings."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]  # columns of the ast module are bytes
    # From the end, so that positions before stay right; an annotation within another is part of its string.
    for node in sorted(_annotations(ast.parse(source)), key=lambda each: (each.lineno, each.col_offset), reverse=True):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        text = source.splitlines()[first : last + 1]
        before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        annotation = ast.unparse(node) if sys.version_info >= (3, 9) else " ".join(text)
        lines[first : last + 1] = [before + repr(annotation).encode() + after, *[b""] * (last - first)]
        if last > first:
            raise ValueError(f"an annotation goes over several lines: {text}")
    return b"".join(lines).decode().replace(_FUTURE, "")


def _annotations(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            if annotation is not None and not (isinstance(annotation, ast.Constant)):
                yield annotation


def build(folder: Path) -> Path:
    """Build the wheel into ``folder``; gives its path."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "source"
        copy.mkdir()
        shutil.copytree(ROOT / "sedna_metrics", copy / "sedna_metrics", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("README.md", "LICENSE", "pyproject.toml"):
            shutil.copy(ROOT / name, copy)
        for path in (copy / "sedna_metrics").rglob("*.py"):
            path.write_text(with_string_annotations(path.read_text(encoding="utf-8")), encoding="utf-8")
        _write_settings(copy / "setup.cfg")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--ignore-requires-python"]
        subprocess.run([*command, "--wheel-dir", str(folder), str(copy)], check=True)
    version = runpy.run_path(str(ROOT / "sedna_metrics" / "_version.py"))["__version__"]
    return folder / f"sedna_metrics-{version}-py36.py37-none-any.whl"


def _write_settings(path: Path) -> None:
    settings = ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    settings["options"]["python_requires"] = ">=3.6,<3.8"
    needed = settings["options"]["install_requires"].splitlines()
    needed = [line for line in needed if not line.startswith("requests")]
    settings["options"]["install_requires"] = "\n".join([*needed, *_NEWEST])
    kept = [line for line in settings["metadata"]["classifiers"].splitlines() if not re.search(r":: 3\.\d+$", line)]
    own: List[str] = [f"Programming Language :: Python :: 3.{minor}" for minor in (6, 7)]
    settings["metadata"]["classifiers"] = "\n".join([*kept, *own])
    settings["bdist_wheel"] = {"python_tag": "py36.py37"}
    with path.open("w", encoding="utf-8") as file:
        settings.write(file)


if __name__ == "__main__":
    print(build(Path(sys.argv[1]).resolve()))
