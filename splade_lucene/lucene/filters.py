"""Filters: search only within some of an index's documents."""

from dataclasses import dataclass, field
from typing import Any

LONGEST_VALUE = 256  # bytes of a stored value that can be filtered on: `Batch.LONGEST_FILTER`


@dataclass(frozen=True, eq=False)
class DocFilter:
    """Documents of an open index to search within; made by `ImpactIndex.filter`, for that index as it was opened.

    size: how many documents it leaves, passages where the index holds these.
    """

    size: int
    reader: Any = field(repr=False)  # Java's `ImpactReader` whose documents these are
    java: Any = field(repr=False)  # Java's `DocFilter`
