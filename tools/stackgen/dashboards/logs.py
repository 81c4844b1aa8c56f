"""The lines alone: where the links of the other dashboards' panels lead."""

from __future__ import annotations

from stackgen.dashboards._board import board
from stackgen.dashboards._panels import LOGS_UID

BOARD = board(LOGS_UID, "Logs", "Log lines of the selected workers, and their number by level.", {})
