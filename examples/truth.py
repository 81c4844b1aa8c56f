"""For the demo: what a task counted by itself, to be compared with what its metrics say.

A worker script of yours needs none of this.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import List, Union


class Truth:
    """What should be seen from outside, noted by the task with plain variables of its own."""

    def __init__(self) -> None:
        self._rows: List[dict] = []

    def expect(self, proposal: str, series: str, value: Union[int, float], **labels: str) -> None:
        """``series`` with ``labels`` should have ``value``."""
        self._rows.append({"proposal": proposal, "series": series, "labels": labels, "value": value})

    def publish(self, stay: bool = False) -> None:
        """Write it down for the demo; a service that is scraped stays until the demo has looked at it."""
        folder = os.environ.get("DEMO_FOLDER")
        if not folder:
            return
        path = Path(folder) / f"{os.environ['WORKER_NAME']}.json"
        path.with_suffix(".tmp").write_text(json.dumps(self._rows))
        path.with_suffix(".tmp").rename(path)
        while stay and not (Path(folder) / "stop").exists():
            time.sleep(0.1)
