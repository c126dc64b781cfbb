"""Records of finished steps: a step is done if its record says so, and redone if not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splade_lucene.files import writing_text


def record_of(path: Path) -> Path:
    """Where it is written what a folder took: beside it. A folder without one is not finished."""
    return path.with_name(f"{path.name}.json")


def read_record(file: Path) -> dict[str, Any] | None:
    """What `write_record` wrote; None where nothing usable is there."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_record(file: Path, facts: Mapping[str, Any]) -> None:
    """Write what a finished step took, whole or not at all."""
    with writing_text(file) as output:
        json.dump(facts, output)
