"""The collections that are known by name, with the rules by which their numbers are published: `collections.yaml`.

Law: what a rule says of a collection stands there once, and nowhere in the code.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from splade_lucene.config import Config, load
from splade_lucene.errors import ConfigError

_NAME = re.compile(r"[\w.+-]+")


class Collection(Config):
    """A collection and its rules; `collections.yaml` says what each means.

    name: known by the file's key; of a folder of somebody's own the folder's name. path: that folder.
    """

    name: str = ""
    input: str | None = None
    corpus: str | None = None
    folder: str | None = None
    split: str = "test"
    documents: int | None = Field(default=None, ge=1)
    queries: int | None = Field(default=None, ge=1)
    judgments: int | None = Field(default=None, ge=1)
    titles: bool = True
    removes: Literal["query", "excluded"] | None = None
    relevant_from: int = Field(default=1, ge=1)
    parts: tuple[str, ...] = ()
    licence: str = ""
    path: str | None = None

    def settings(self) -> dict[str, str | int]:
        """The rules that decide its numbers, as far as they are not everyone's."""
        rules: dict[str, str | int] = {"titles": "before the text, one field" if self.titles else "none"}
        if self.removes:
            rules["removes"] = self.removes
        if self.relevant_from > 1:
            rules["relevant_from"] = self.relevant_from
        if self.split != "test":
            rules["split"] = self.split
        return rules


class _Registry(Config):
    groups: dict[str, tuple[str, ...]]
    collections: dict[str, Collection]


@cache
def _registry() -> _Registry:
    return load(Path(__file__).with_name("collections.yaml"), _Registry)


def known() -> list[Collection]:
    """All collections that are known by name."""
    return [collection.model_copy(update={"name": name}) for name, collection in _registry().collections.items()]


def groups() -> dict[str, tuple[str, ...]]:
    """Names that stand for several collections."""
    return dict(_registry().groups)


def parts_of(collection: Collection) -> list[Collection]:
    """The collections that it is the mean of; itself where it has no parts."""
    return [_of_name(name) for name in collection.parts] or [collection]


def chosen(names: Sequence[str], data: Path | None = None) -> list[Collection]:
    """The collections that names stand for, each once, in their order.

    Args:
        names: of collections and groups; folders in BEIR layout and ir_datasets ids, for collections of one's own.
        data: a data root, whose folders are collections by their names.

    Raises:
        ConfigError: a name stands for nothing, or two collections have one name.
    """
    found: dict[str, Collection] = {}
    for name in names:
        for collection in _named(name, data):
            other = found.setdefault(collection.name, collection)
            if other != collection:
                raise ConfigError(
                    f"{other.path or other.input} and {collection.path or collection.input} are both called "
                    f"{collection.name!r}: rename a folder"
                )
    return list(found.values())


def _named(name: str, data: Path | None) -> Iterator[Collection]:
    registry = _registry()
    if name in registry.groups:
        yield from map(_of_name, registry.groups[name])
    elif name in registry.collections:
        yield _of_name(name)
    elif name and ((folder := Path(name)).is_dir() or (data is not None and (folder := data / name).is_dir())):
        yield _own(folder.resolve().name, path=str(folder))
    elif _is_input(name):
        yield _own(name.replace("/", "-"), input=name)
    else:
        near = difflib.get_close_matches(name, [*registry.collections, *registry.groups], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"groups are {', '.join(registry.groups)}"
        within = f", a folder in {data}" if data is not None else ""
        raise ConfigError(
            f"{name!r} is neither a collection that is known, a folder in BEIR layout{within}, nor an ir_datasets id; "
            f"{hint}"
        )


def _of_name(name: str) -> Collection:
    return _registry().collections[name].model_copy(update={"name": name})


def _own(name: str, *, path: str | None = None, input: str | None = None) -> Collection:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{path or input}: a collection is called what its folder is, and {name!r} is no name")
    return Collection(name=name, path=path, input=input)


def _is_input(name: str) -> bool:
    import ir_datasets

    return name in ir_datasets.registry
