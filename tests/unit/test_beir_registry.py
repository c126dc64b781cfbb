"""The collections that are known by name: what the file says is what ir_datasets has, and names are found."""

from pathlib import Path

import ir_datasets
import pytest

from splade_lucene.beir.registry import Collection, chosen, groups, known, parts_of
from splade_lucene.errors import ConfigError

WITH_INPUT = [collection for collection in known() if collection.input is not None]


@pytest.mark.parametrize("collection", WITH_INPUT, ids=lambda collection: collection.name)
def test_ir_datasets_has_it_and_counts_alike(collection: Collection) -> None:
    dataset = ir_datasets.load(str(collection.input))
    assert dataset.has_docs() and dataset.has_queries() and dataset.has_qrels()
    counts = {part: dataset.metadata()[part]["count"] for part in ("docs", "queries", "qrels")}
    assert counts == {"docs": collection.documents, "queries": collection.queries, "qrels": collection.judgments}
    assert collection.titles == ("title" in dataset.docs_cls()._fields)


@pytest.mark.parametrize("collection", WITH_INPUT, ids=lambda collection: collection.name)
def test_excluded_documents_are_left_out_where_there_are_some(collection: Collection) -> None:
    judged = ir_datasets.load(str(collection.input)).metadata()["qrels"]["fields"]["relevance"]["counts_by_value"]
    assert (collection.removes == "excluded") == ("-100" in judged)


def test_every_set_of_beir_that_ir_datasets_has_is_known() -> None:
    there = {name for name in ir_datasets.registry if name.startswith(("beir/", "nano-beir/", "bright/"))}
    inputs = {str(collection.input) for collection in WITH_INPUT}
    others = {name for name in there if not any(each == name or each.startswith(f"{name}/") for each in inputs)}
    assert {name.rpartition("/")[2] for name in others} == {"train", "dev", "test"}  # other splits
    assert others.isdisjoint(inputs)


def test_groups_and_parts_name_known_collections() -> None:
    names = {collection.name for collection in known()}
    assert names.isdisjoint(groups())
    for members in groups().values():
        assert set(members) <= names and len(set(members)) == len(members)
    assert len(groups()["beir-13"]) == 13
    assert set(groups()["beir-13"]) < set(groups()["beir"]) < set(groups()["beir-all"])
    (forums,) = chosen(["cqadupstack"])
    assert [part.name for part in parts_of(forums)] == list(forums.parts) and len(forums.parts) == 12
    (scifact,) = chosen(["scifact"])
    assert parts_of(scifact) == [scifact]


def test_what_cannot_be_fetched_says_why() -> None:
    assert {each.name for each in known() if each.licence} == {"bioasq", "signal1m", "trec-news", "robust04"}
    assert all(each.licence or each.parts for each in known() if each.input is None)


def test_the_rules_that_are_not_everyones_stand_in_the_settings() -> None:
    arguana, dl, msmarco = chosen(["arguana", "trec-dl-2019", "msmarco"])
    assert arguana.settings() == {"titles": "before the text, one field", "removes": "query"}
    assert dl.settings() == {"titles": "none", "relevant_from": 2}
    assert msmarco.settings() == {"titles": "none", "split": "dev"}


def test_names_are_found_once_and_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "data" / "theirs").mkdir(parents=True)
    names = ["theirs", "scifact", "trec-dl", "scifact", str(tmp_path / "mine"), "beir/scifact/train"]
    found = chosen(names, tmp_path / "data")
    years = [f"trec-dl-{year}" for year in range(2019, 2023)]
    assert [each.name for each in found] == ["theirs", "scifact", *years, "mine", "beir-scifact-train"]
    assert found[-2].path == str(tmp_path / "mine")
    assert found[-1].input == "beir/scifact/train"


def test_a_name_that_is_nothing_is_an_error_with_what_it_may_have_been(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'sciefact' is neither .* did you mean scifact"):
        chosen(["sciefact"])
    with pytest.raises(ConfigError, match=r"'' is neither .*, a folder in .*groups are beir-13, "):
        chosen([""], tmp_path)


def test_two_collections_of_one_name_are_an_error(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match="are both called 'mine': rename a folder"):
        chosen([str(tmp_path / "a" / "mine"), str(tmp_path / "b" / "mine")])


def test_a_folder_whose_name_is_no_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    with pytest.raises(ConfigError, match="'my data' is no name"):
        chosen([str(tmp_path / "my data")])
