"""``python -m stackgen`` writes the files."""

from __future__ import annotations

from sedna_metrics.stack._export import FILES as FOLDER
from stackgen._all import FILES

for name, text in FILES.items():
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
