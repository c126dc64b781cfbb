"""Configuration files: what is read, how, and how every problem is named."""

from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from splade_lucene.config import Config, RetrievalExperiment, dump, load
from splade_lucene.errors import ConfigError

EXPERIMENT = """\
collections: [scifact]
model: default
expected: {scifact: {nDCG@10: .5933}}
"""


class Inner(Config):
    text: str = "none"
    number: float = 1.0


class Anything(Config):
    """One field of each kind."""

    text: str = "none"
    texts: tuple[str, ...] = ()
    number: float = 1.0
    count: int = 1
    flag: bool = False
    word: Literal["a", "b"] = "a"
    maybe: int | None = None
    inner: Inner = Inner()
    many: dict[str, Inner] = Field(default_factory=dict)
    listed: tuple[Inner, ...] = ()


def read[C: Config](text: str, model: type[C], tmp_path: Path, *overrides: str) -> C:
    file = tmp_path / "experiment.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, model, overrides)


def problems(text: str, model: type[Config], tmp_path: Path, *overrides: str) -> list[str]:
    """What is wrong, a problem a line, without the folder."""
    with pytest.raises(ConfigError) as raised:
        read(text, model, tmp_path, *overrides)
    return str(raised.value).replace(f"{tmp_path}/", "").splitlines()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("text: no", {"text": "no"}),
        ("text: on", {"text": "on"}),
        ("text: 2024-01-01", {"text": "2024-01-01"}),
        ("text: 1:30", {"text": "1:30"}),
        ("text: 010", {"text": "010"}),
        ("text: 0x10", {"text": "0x10"}),
        ("text: 1e5f123", {"text": "1e5f123"}),
        ("texts: [no, NO, 12a]", {"texts": ("no", "NO", "12a")}),
        ("number: 1e-3", {"number": 0.001}),
        ("number: .5", {"number": 0.5}),
        ("number: 3", {"number": 3.0}),
        ("count: 150_000", {"count": 150_000}),
        ("flag: true", {"flag": True}),
        ("maybe: null", {"maybe": None}),
        ("maybe:", {"maybe": None}),
        ("many: {no: {text: x}, 2020: {}}", {"many": {"no": Inner(text="x"), "2020": Inner()}}),
    ],
)
def test_yaml_says_what_a_reader_takes_it_for(written: str, meant: dict[str, Any], tmp_path: Path) -> None:
    assert read(written, Anything, tmp_path) == Anything(**meant)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("flag: no", "flag: input should be a valid boolean, not 'no'"),
        ("flag: 1", "flag: input should be a valid boolean, not 1"),
        ("number: true", "number: input should be a valid number, not True"),
        ("number: '1'", "number: input should be a valid number, not '1'"),
        ("number: .nan", "number: input should be a finite number, not nan"),
        ("count: 1e3", "count: input should be a valid integer, not 1000.0"),
        ("count: 010", "count: input should be a valid integer, not '010'"),
        ("text: 7", "text: input should be a valid string, not 7; put it in quotes"),
        ("word: c", "word: input should be 'a' or 'b', not 'c'"),
        ("inner: 3", "inner: input should be an object, not 3"),
        ("txt: x", "the key 'txt' is not known; did you mean 'text'?"),
        ("inner: {nmber: 1}", "the key 'inner.nmber' is not known; did you mean 'number'?"),
        ("many: {x: {zzz: 1}}", "the key 'many.x.zzz' is not known; known are number, text"),
        ("text: a\ntext: b", "not usable YAML: the key 'text' stands there twice"),
        ("text: &a x\ntexts: [*a]", "not usable YAML: aliases (*name) are not read"),
        ("text: [", "not usable YAML: expected the node content, but found '<stream end>'"),
        ("text: !!python/name:os.system", "not usable YAML: could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/name:os.system'"),
        ("? [a]\n: b", "not usable YAML: a key must be a text"),
    ],
)  # fmt: skip
def test_a_problem_is_named_with_its_line(written: str, problem: str, tmp_path: Path) -> None:
    (said,) = problems(f"# a comment\n{written}", Anything, tmp_path)
    last = 1 + len(written.splitlines()) if "twice" in problem or "alias" in problem else 2
    assert said == f"experiment.yaml:{last}: {problem}"


def test_every_problem_is_named(tmp_path: Path) -> None:
    text = "listed:\n  - text: x\n  - text: 1\n    nubmer: 2\nword: c\ntxts: []\n"
    assert sorted(problems(text, Anything, tmp_path)) == [
        "experiment.yaml:3: listed.1.text: input should be a valid string, not 1; put it in quotes",
        "experiment.yaml:4: the key 'listed.1.nubmer' is not known; did you mean 'number'?",
        "experiment.yaml:5: word: input should be 'a' or 'b', not 'c'",
        "experiment.yaml:6: the key 'txts' is not known; did you mean 'texts'?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a", "experiment.yaml: keys with values were expected, `key: value` each on its line"),
        ("[" * 3000, "experiment.yaml: not usable YAML: maximum recursion depth exceeded"),
        ("text: \x00", "experiment.yaml: not usable YAML: unacceptable character #x0000"),
        ("text: a\n---\ntext: b", "experiment.yaml:2: not usable YAML: but found another document"),
    ],
)
def test_what_is_no_configuration_at_all(text: str, problem: str, tmp_path: Path) -> None:
    assert problems(text, Anything, tmp_path)[0].startswith(problem)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "missing.yaml", Anything)
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path, Anything)
    (tmp_path / "latin.yaml").write_bytes("text: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.yaml", Anything)


def test_an_empty_file_is_all_defaults_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert read("# nothing\n", Anything, tmp_path) == Anything()
    assert read("\ufefftext: x", Anything, tmp_path).text == "x"


def test_overrides_take_the_place_of_what_the_file_says(tmp_path: Path) -> None:
    text = "text: x\ninner: {text: y}\nlisted: [{text: a}, {text: b}]\nmaybe: 3\n"
    given = ("text=no", "inner.number=1e-3", "listed.1.text=c", "many.new.text=made", "maybe=", "texts=[p, q]")
    assert read(text, Anything, tmp_path, *given) == Anything(
        text="no",
        inner=Inner(text="y", number=0.001),
        listed=(Inner(text="a"), Inner(text="c")),
        many={"new": Inner(text="made")},
        texts=("p", "q"),
    )
    assert read(text, Anything, tmp_path, "text=a=b").text == "a=b"
    assert read("", Anything, tmp_path, "inner.text=a", "inner.text=b").inner.text == "b"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("text", "write it as key.path=value"),
        ("=x", "write it as key.path=value"),
        ("inner..text=x", "write it as key.path=value"),
        ("texts.5=x", "texts is a list of 1, without '5'"),
        ("texts.first=x", "texts is a list of 1, without 'first'"),
        ("text.more=x", "text is 'x', and has no 'more'"),
        ("count=many", "count: input should be a valid integer, not 'many'"),
        ("inner.nmber=1", "the key 'inner.nmber' is not known; did you mean 'number'?"),
        ("count.more=1", "count: input should be a valid integer"),
    ],
)
def test_a_wrong_override_is_named(override: str, problem: str, tmp_path: Path) -> None:
    assert problems("text: x\ntexts: [y]", Anything, tmp_path, override) == [f"--set {override}: {problem}"]


def test_an_override_that_is_not_yaml(tmp_path: Path) -> None:
    (said,) = problems("", Anything, tmp_path, "text={a")
    assert said.startswith("--set text={a:1: not usable YAML")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "no",
        "yes",
        "null",
        "~",
        "",
        "1e-3",
        "010",
        "1:30",
        "2024-01-01",
        ".5",
        "0x1f",
        "1_0",
        "-",
        "#",
        "{x}",
        " x ",
        "<<",
    ]
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(TEXTS, st.lists(TEXTS), NUMBERS, st.integers(), st.booleans(), st.dictionaries(TEXTS, NUMBERS, max_size=3))
def test_what_was_dumped_is_loaded_again(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    texts: list[str],
    number: float,
    count: int,
    flag: bool,
    many: dict[str, float],
) -> None:
    config = Anything(
        text=text,
        texts=tuple(texts),
        number=number,
        count=count,
        flag=flag,
        many={name: Inner(text=name, number=value) for name, value in many.items()},
    )
    file = tmp_path_factory.getbasetemp() / "dumped.yaml"
    file.write_text(dump(config), encoding="utf-8", newline="")
    assert load(file, Anything) == config


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("model=", "give one of model and vectors"),
        ("vectors={model: m, documents: d, queries: q}", "give one of model and vectors"),
        ("expected={scifact: {AP: .5}}", "expected names AP, but measures does not"),
        ("expected={scifact: {}}", "nothing is expected: an experiment says what it must reach"),
        ("expected=publishd", "expected: input should be 'published', not 'publishd'"),
        ("expected.scifact.nDCG@10=high", "expected.scifact.nDCG@10: input should be a valid number, not 'high'"),
        ("scale=0", "scale: input should be greater than 0, not 0"),
        ("k=0", "k: input should be greater than or equal to 1, not 0"),
        ("preset=anserini", "preset: input should be 'castorini' or 'naver', not 'anserini'"),
    ],
)
def test_an_experiment_fits_together(change: str, problem: str, tmp_path: Path) -> None:
    (said,) = problems(EXPERIMENT, RetrievalExperiment, tmp_path, change)
    assert said.endswith(problem)


@pytest.mark.parametrize("name", ["/etc/passwd", "../vectors.jsonl", "a/../../b"])
def test_vectors_are_named_within_the_data_root(name: str, tmp_path: Path) -> None:
    change = f"vectors={{model: m, documents: {name}, queries: q}}"
    (said,) = problems(EXPERIMENT.replace("model: default\n", ""), RetrievalExperiment, tmp_path, change)
    assert "vectors.documents: name it as it is found within the data root" in said


def test_the_scale_of_an_experiment(tmp_path: Path) -> None:
    assert read(EXPERIMENT, RetrievalExperiment, tmp_path).impact_scale == 100
    assert read(EXPERIMENT, RetrievalExperiment, tmp_path, "preset=castorini").impact_scale == 51.2
    assert read(EXPERIMENT, RetrievalExperiment, tmp_path, "preset=castorini", "scale=20").impact_scale == 20


def test_what_pyyaml_itself_would_make_of_it() -> None:
    """Why there is a loader of our own."""
    read_by_pyyaml = yaml.safe_load("[no, 1e-3, 010, 1:30]")
    assert read_by_pyyaml == [False, "1e-3", 8, 90]
