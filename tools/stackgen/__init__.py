"""Generates the operator's files under ``sedna_metrics/stack/files`` from the metric catalogue and Sedna's kinds.

``make stack`` runs it; it needs the extra ``generate``. Each module defines ``FILES``: contents by path.
"""
