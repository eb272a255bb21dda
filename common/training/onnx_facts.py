"""What a user of an ONNX file has to know, kept in the file itself."""

from __future__ import annotations

import json
from typing import Any, Mapping


def add_facts(model: Any, facts: Mapping[str, Any]) -> None:
    """Adds facts to a model's metadata: texts as they are, all else as JSON."""
    for name, value in facts.items():
        entry = model.metadata_props.add()
        entry.key = name
        entry.value = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
