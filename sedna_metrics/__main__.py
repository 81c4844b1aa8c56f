"""``python -m sedna_metrics``: the same as the command ``sedna-metrics``."""

from __future__ import annotations

import sys

from sedna_metrics.cli import main

if __name__ == "__main__":
    sys.exit(main())
