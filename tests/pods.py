"""Pods as tests compare them, and the files that their volumes hold."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional


def config_map_files(config_map: Mapping[str, Any], items: Optional[List[Dict[str, str]]] = None) -> Dict[str, bytes]:
    """Content by path of a volume that is this ConfigMap; ``items`` as in the volume's."""
    files = {key: text.encode() for key, text in config_map.get("data", {}).items()}
    files.update((key, base64.b64decode(text)) for key, text in config_map.get("binaryData", {}).items())
    return files if items is None else {each["path"]: files[each["key"]] for each in items}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files into the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def without_order(spec: Mapping[str, Any]) -> Dict[Any, List[str]]:
    """What injection changes of a pod's specification, without order and without the API server's defaults."""
    found = {"volumes": spec.get("volumes")}
    for container in spec["containers"]:
        found.update({(container["name"], key): container.get(key) for key in ("volumeMounts", "env", "ports")})
    return {key: sorted(map(_as_text, items or [])) for key, items in found.items()}


def _as_text(item: Mapping[str, Any]) -> str:
    item = copy.deepcopy(dict(item))
    item.pop("protocol", None)
    item.get("configMap", {}).pop("defaultMode", None)
    item.get("valueFrom", {}).get("fieldRef", {}).pop("apiVersion", None)
    return json.dumps(item, sort_keys=True)
