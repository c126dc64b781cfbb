"""Experiments as YAML files: one file is one experiment, whole, with the numbers that it must reach.

`load` reads any model of pydantic's that derives from `Config`, so that retrieval and training are configured by the
same rules. May import the rooms below it. Laws: `load` of what `dump` wrote gives an equal configuration; a key that
the model does not know, a key that stands there twice and a value of another type are errors, and every one of them is
named with its line.

YAML here is what a reader takes it for (YAML 1.2's core, where PyYAML reads 1.1): `no`, `on` and `2024-01-01` are
texts, `1e-3` is a number, `010` and `1:30` are none.
"""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from splade_lucene.encoding.options import PRESETS
from splade_lucene.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_SCALARS = [  # (tag, how it is written); all else is text
    (f"{_TAG}null", re.compile(r"~|null|Null|NULL|")),
    (f"{_TAG}bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    (f"{_TAG}int", re.compile(r"[-+]?(0|[1-9][0-9_]*)")),
    (
        f"{_TAG}float",
        re.compile(
            r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
        ),
    ),
]
_RESOLVERS = {
    None: [(tag, re.compile(f"({form.pattern})$")) for tag, form in _SCALARS]
}  # None: whatever it begins with


class Config(BaseModel):
    """What every configuration is: frozen, without unknown keys, without conversions that YAML did not ask for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class VectorSource(Config):
    """Vectors that are there already, made by `model`: files or folders within the data root.

    `{collection}` in a name stands for the collection's. made_with: what is known of the encoding, for comparison with
    published scores.
    """

    model: str
    documents: str
    queries: str
    made_with: dict[str, str | float] = Field(default_factory=dict)

    @field_validator("documents", "queries")
    @classmethod
    def _stays_within_the_data_root(cls, name: str) -> str:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("name it as it is found within the data root, which --data or SPLADE_LUCENE_DATA give")
        return name


class RetrievalExperiment(Config):
    """One system on some collections: index, search, evaluate, and what must come out.

    collections: names as `splade-lucene beir` takes them. model: what encodes both sides, or vectors: given ones.
    preset: lengths, scale and special terms of published indexes; max_length: tokens of a text; scale: of the impacts,
    the preset's or 100. k: hits a query. expected: {collection: {measure: value}}, met within `tolerance`; or
    `published`, met by whatever is not different from the published scores.
    """

    collections: tuple[str, ...] = Field(min_length=1)
    model: str | None = None
    vectors: VectorSource | None = None
    preset: Literal["castorini", "naver"] | None = None
    max_length: int | None = Field(None, ge=3)
    scale: float | None = Field(None, gt=0)
    k: int = Field(1000, ge=1)
    measures: tuple[str, ...] = Field(("nDCG@10", "R@100", "R@1000"), min_length=1)
    # Told apart first, so that what is wrong in a mapping is not said of the word, too.
    expected: Annotated[
        Annotated[Literal["published"], Tag("word")] | Annotated[dict[str, dict[str, float]], Tag("mapping")],
        Discriminator(lambda given: "mapping" if isinstance(given, dict) else "word"),
    ]
    tolerance: float = Field(0.0005, ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.model is None) == (self.vectors is None):
            raise ValueError("give one of model and vectors")
        if self.vectors is not None and (self.preset or self.max_length):
            raise ValueError("preset and max_length say how texts are encoded; vectors are already")
        if isinstance(self.expected, dict):
            if unknown := sorted({name for each in self.expected.values() for name in each} - set(self.measures)):
                raise ValueError(f"expected names {', '.join(unknown)}, but measures does not")
            if not any(self.expected.values()):
                raise ValueError("nothing is expected: an experiment says what it must reach")
        return self

    @property
    def system(self) -> str:
        """The model's name."""
        return self.vectors.model if self.vectors is not None else str(self.model)

    @property
    def impact_scale(self) -> float:
        """What a weight is multiplied by to become an impact."""
        return self.scale or (PRESETS[self.preset].scale if self.preset else 100.0)


def load[C: Config](path: Path, model: type[C], overrides: Sequence[str] = ()) -> C:
    """Read a configuration.

    Args:
        path: the YAML file.
        model: what it must be.
        overrides: `key.path=value` each, as `--set` takes them: the value is read as YAML and put in the place of the
            file's. A number in the path is a place in a list, from 0 on.

    Raises:
        ConfigError: with every problem, one a line, each with the file's line or the override that made it.
    """
    try:
        node, content = _parse(path.read_text(encoding="utf-8-sig"), where=str(path))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder; a YAML file was expected") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: keys with values were expected, `key: value` each on its line")
    given: dict[tuple[str, ...], str] = {}
    for override in overrides:
        keys, value = _override(override)
        _put(content, keys, value, override)
        given[keys] = override
    try:
        # As JSON: pydantic then takes a list for a tuple, and is strict about all that a text file can tell apart.
        return model.model_validate_json(json.dumps(content))
    except ValidationError as error:
        problems = []
        for each in error.errors():
            keys = _keys(content, each)
            made_by = next((text for at, text in given.items() if keys and keys[: len(at)] == at[: len(keys)]), None)
            where = f"{path}:{_line(node, keys)}" if made_by is None else f"--set {made_by}"
            problems.append(f"{where}: {_problem(each, keys, model)}")
        raise ConfigError("\n".join(dict.fromkeys(problems))) from error


def dump(config: Config) -> str:
    """A configuration as YAML, defaults included."""
    content = config.model_dump(mode="json")
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    yaml_implicit_resolvers = _RESOLVERS

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few of which can stand for more than memory holds
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not read", problem_mark=self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """A mapping of texts: a key is a name, whatever it looks like, and stands there once."""
        made: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in made:
                is_text = isinstance(key, yaml.ScalarNode)
                problem = f"the key {key.value!r} stands there twice" if is_text else "a key must be a text"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            made[key.value] = self.construct_object(value, deep=deep)
        return made


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    yaml_implicit_resolvers = _RESOLVERS  # so that a text that `_Loader` would take for a number is quoted


def _text_node(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """In quotes where something in it cannot be seen: some of what PyYAML writes bare (NEL) it reads as a space."""
    return dumper.represent_scalar(f"{_TAG}str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _text_node)


def _parse(text: str, *, where: str) -> tuple[yaml.Node | None, Any]:
    """The nodes, which know their lines, and the content; an empty text is an empty mapping."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return node, {} if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where}{line}: not usable YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{where}: not usable YAML: {error}") from error


def _override(text: str) -> tuple[tuple[str, ...], Any]:
    """The keys and the value of `key.path=value`."""
    path, equals, value = text.partition("=")
    keys = tuple(path.split("."))
    if not equals or not all(keys):
        raise ConfigError(f"--set {text}: write it as key.path=value")
    return keys, _parse(value, where=f"--set {text}")[1] if value else None


def _put(content: Any, keys: tuple[str, ...], value: Any, override: str) -> None:
    """Put a value where the keys lead; mappings on the way that are not there are made."""
    at = content
    for number, key in enumerate(keys):
        last = number == len(keys) - 1
        if isinstance(at, list):
            place = int(key) if key.isdecimal() else len(at)
            if place >= len(at):
                raise ConfigError(
                    f"--set {override}: {'.'.join(keys[:number])} is a list of {len(at)}, without {key!r}"
                )
            if last:
                at[place] = value
            at = at[place]
        elif isinstance(at, dict):
            if last:
                at[key] = value
            elif at.get(key) is None:
                at[key] = {}
            at = at[key]
        else:
            raise ConfigError(f"--set {override}: {'.'.join(keys[:number])} is {at!r}, and has no {key!r}")


def _keys(content: Any, error: Any) -> tuple[str, ...]:
    """Where an error is, as keys and places of the content: without the names that pydantic gives to cases."""
    keys = []
    for number, key in enumerate(error["loc"]):
        leads_on = key in content if isinstance(content, dict) else isinstance(content, list) and isinstance(key, int)
        if leads_on:
            content = content[key]
        if leads_on or (number == len(error["loc"]) - 1 and error["type"] == "missing"):
            keys.append(str(key))
    return tuple(keys)


def _line(node: yaml.Node | None, keys: tuple[str, ...]) -> int:
    """The line, from 1 on, on which the last of the keys stands that is there."""
    line = 0 if node is None else node.start_mark.line
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == key:
                    line, node = name.start_mark.line, value
                    break
        elif isinstance(node, yaml.SequenceNode) and key.isdecimal() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line
    return line + 1


def _problem(error: Any, keys: tuple[str, ...], model: type[BaseModel]) -> str:
    """What is wrong, in words, and what it may have been meant for."""
    name = ".".join(keys)
    if error["type"] == "extra_forbidden":
        known = sorted(_keys_beside(model, keys[:-1]))
        near = difflib.get_close_matches(keys[-1], known, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        return f"the key {name!r} is not known; {meant}"
    if error["type"] == "missing":
        return f"the key {name!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    said = f"{name}: {message[0].lower()}{message[1:]}" if keys else message
    if not keys or isinstance(error["input"], (dict, list)):
        return said
    quote = "; put it in quotes" if error["type"] == "string_type" else ""
    return f"{said}, not {error['input']!r}{quote}"


def _keys_beside(model: type[BaseModel], keys: tuple[str, ...]) -> set[str]:
    """The keys that the models know to which the keys lead; places in lists and keys of mappings lead nowhere new."""
    models = [model]
    for key in keys:
        fields = [each.model_fields[key] for each in models if key in each.model_fields]
        if fields:
            models = [found for each in fields for found in _models_in(each.annotation)]
    return {name for each in models for name in each.model_fields}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models_in(each)
