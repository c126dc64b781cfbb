"""Documents fitted to real ones: drawn the same each time, alike in what they keep, and no nearer to one another."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from benchmarks import collection, mixture
from benchmarks.collection import Collection
from benchmarks.mixture import Mixture, Source, answers, lifts, nearest
from splade_lucene.vector_files import write_jsonl, write_query_tsv
from splade_lucene.vectors import ImpactVectors, Vocabulary
from tests.helpers import impacts as as_impacts
from tests.integration.support import shared

DOCUMENTS, TERMS = 600, 40
COMMON, RARE = 30, 900
KEPT = 0.6  # of the terms of an earlier document, with their impacts


def made(random: np.random.Generator, count: int, terms: int, name: str) -> ImpactVectors:
    """Vectors that have families, as texts do: some terms are an earlier document's, some common ones, some new."""
    rows: list[dict[str, int]] = []
    for _ in range(count):
        earlier = rows[random.integers(len(rows))] if rows else {}
        inherited = {term: impact for term, impact in earlier.items() if random.random() < KEPT}
        numbers = [*random.integers(COMMON, size=terms // 4), *(COMMON + RARE * random.random(terms // 4) ** 3)]
        impacts = 1 + random.exponential(38, len(numbers))
        new = {f"t{int(each):04}": int(impact) for each, impact in zip(numbers, impacts, strict=True)}
        rows.append(new | inherited)
    return as_impacts({f"{name}{number}": row for number, row in enumerate(rows)})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("real")
    random = np.random.default_rng(11)
    write_jsonl(folder / "docs.jsonl", [made(random, DOCUMENTS, TERMS, "d")])
    write_query_tsv(folder / "queries.tsv", made(random, 50, 6, "q"))
    return folder / "docs.jsonl", folder / "queries.tsv"


@pytest.fixture(scope="module")
def source(files: tuple[Path, Path]) -> Source:
    return Source(*files)


def matrix(documents: Mixture) -> mixture.Sparse:
    return mixture._matrix_of(documents)


def frequencies(of: mixture.Sparse) -> NDArray[np.float64]:
    """The share of documents that have each term, the largest first."""
    return np.sort(np.bincount(of.indices, minlength=of.shape[1]))[::-1] / of.shape[0]


# The law


def test_the_same_seed_and_size_give_the_same_documents(files: tuple[Path, Path], source: Source) -> None:
    one, other = Mixture(source, 12_000, seed=3), Mixture(Source(*files), 12_000, seed=3)
    assert [len(batch) for batch in one] == [5_000, 5_000, 2_000]
    assert next(reversed(one)) == other[2]  # a batch does not depend on those before it
    assert one[1] == other[1] and one[-1] == other[2] and one[1:] == [other[1], other[2]]
    assert one.queries(20) == other.queries(20)
    assert Mixture(source, 12_000, seed=4)[1] != one[1]
    ids = [doc_id for batch in one for doc_id in batch.ids]
    assert ids == sorted(set(ids)) and ids[0] == "d0000000" and ids[-1] == "d0011999"


# What is kept


def test_lengths_impacts_and_frequencies_are_the_real_ones(source: Source) -> None:
    drawn = matrix(Mixture(source, 5_000, topics=1))
    for values, real in (
        (np.diff(drawn.indptr), np.diff(source.matrix.indptr)),
        (drawn.data, source.matrix.data),
    ):
        assert values.mean() == pytest.approx(real.mean(), rel=0.05)
        assert np.percentile(values, [5, 50, 95]) == pytest.approx(np.percentile(real, [5, 50, 95]), rel=0.15, abs=1)
    found, real = frequencies(drawn), frequencies(source.matrix)
    for start, stop in ((0, COMMON), (COMMON, 200), (200, 600)):
        assert found[start:stop].sum() == pytest.approx(real[start:stop].sum(), rel=0.15)


def test_terms_meet_as_in_the_real_documents(source: Source) -> None:
    real = source.matrix
    by_chance = real.copy()
    by_chance.indices = np.random.default_rng(0).permutation(real.indices)
    by_chance = csr_array(by_chance.toarray())  # a term that came to stand in a row twice stands there once
    drawn = matrix(Mixture(source, DOCUMENTS, topics=1))
    alike, wanted, least = (float(lifts(each, np.random.default_rng(0)).mean()) for each in (drawn, real, by_chance))
    assert 0.8 < least < 1.2
    assert least + 0.3 * (wanted - least) < alike < 1.2 * wanted


@pytest.mark.parametrize("topics", [1, None])
def test_documents_are_no_nearer_than_real_ones(source: Source, topics: int | None) -> None:
    """As many as there are real ones share a topic, and near documents are of one topic."""
    every = np.arange(DOCUMENTS)
    real = nearest(source.matrix, every, 1)[1]
    drawn = nearest(matrix(Mixture(source, DOCUMENTS, topics=topics)), every, 1)[1]
    assert drawn.mean() < real.mean() * 1.02
    assert np.percentile(drawn, 95) < np.percentile(real, 95) * 1.02


def test_what_is_drawn_of_splade_v3_is_like_it() -> None:
    real = Source(shared("splade-v3-nfcorpus", "docs.jsonl.gz"), shared("splade-v3-nfcorpus", "queries.tsv.gz"))
    drawn = matrix(Mixture(real, real.matrix.shape[0], topics=1))
    rows = np.arange(0, drawn.shape[0], 5)
    near, real_near = nearest(drawn, rows, 1)[1], nearest(real.matrix, rows, 1)[1]
    assert near.mean() < real_near.mean() and np.percentile(near, 95) < np.percentile(real_near, 95)
    random = np.random.default_rng(0)
    assert lifts(drawn, random).mean() == pytest.approx(lifts(real.matrix, random).mean(), rel=0.2)
    for rank in (1, 10, 100, 1_000):
        assert frequencies(drawn)[rank - 1] == pytest.approx(frequencies(real.matrix)[rank - 1], rel=0.1)


# Topics and queries


def test_each_topic_renames_all_terms_and_none_twice(source: Source) -> None:
    names = mixture._renamings(len(source.vocabulary), 8, np.random.default_rng(0))
    assert (np.sort(names, axis=1) == np.arange(len(source.vocabulary))).all()
    still = 2 ** int(mixture._STILL)
    assert (names[:, :still] == np.arange(still)).all()
    parted = [(names[0] == names[other]).mean() for other in (1, 4)]
    assert 1 > parted[0] > parted[1]  # the later they part, the more they share


def test_a_large_collection_has_more_topics(source: Source) -> None:
    for documents, topics in ((100, 1), (DOCUMENTS, 1), (2 * DOCUMENTS, 2), (64 * DOCUMENTS, 64)):
        assert len(Mixture(source, documents)._names) == topics


def test_queries_are_those_that_are_answered_under_their_topics_names(source: Source) -> None:
    answered = np.flatnonzero(answers(source.matrix, source.queries) >= mixture.ANSWERED)
    assert 5 < len(answered)
    asked = Mixture(source, 5_000, topics=1).queries(5)
    names = source.vocabulary.terms
    for place, number in enumerate(answered[:5].tolist()):
        row = source.queries[[number]]
        wanted = {names[rank]: impact for rank, impact in zip(row.indices.tolist(), row.data.tolist(), strict=True)}
        assert asked.ids[place] == source.query_ids[number] and asked.row(place) == wanted
    renamed = Mixture(source, 5_000, topics=64).queries(1_000)
    assert len(renamed) == len(answered)
    assert np.array_equal(renamed.row_lengths, np.diff(source.queries[answered].indptr))


def test_queries_without_an_answer_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    vocabulary = Vocabulary(["elsewhere"])
    indptr, one = np.array([0, 1], dtype=np.int64), np.ones(1, dtype=np.int32)
    write_query_tsv(tmp_path / "q.tsv", ImpactVectors(["q"], indptr, one - 1, vocabulary, one))
    with pytest.raises(SystemExit, match=r"docs\.jsonl answers none of the queries"):
        Mixture(Source(files[0], tmp_path / "q.tsv"), 100).queries(10)


def test_too_few_documents_are_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "few.jsonl", [made(np.random.default_rng(0), 20, TERMS, "d")])
    with pytest.raises(SystemExit, match="must be more than 80"):
        Source(tmp_path / "few.jsonl")


# On the command line


def arguments(*given: object) -> Namespace:
    parser = ArgumentParser()
    collection.add_arguments(parser)
    return parser.parse_args(list(map(str, given)))


def test_the_command_line_chooses_documents_like_others(files: tuple[Path, Path], source: Source) -> None:
    given = arguments("--like", files[0], "--query-vectors", files[1], "--documents", 7_000, "--queries", 4)
    found = collection.chosen(given, with_queries=True)
    assert found.queries is not None and len(found.queries) == 4
    assert found.documents[1] == Mixture(source, 7_000)[1]
    assert collection.chosen(given, with_queries=False).documents[1] == found.documents[1]


@pytest.mark.parametrize("more", [("--vectors", "x.jsonl", "--query-vectors", "q.tsv"), ()])
def test_a_command_line_without_sense_is_refused(more: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match=r"--vectors"):
        collection.chosen(arguments("--like", "docs.jsonl", *more), with_queries=True)


def test_facts_of_a_large_collection_are_those_of_its_first_batches(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Mixture(source, 12_000)
    found = Collection("drawn", drawn, drawn.queries(10), alike=True)
    whole = found.facts()
    monkeypatch.setattr(collection, "ALIKE_BATCHES", 1)
    some = found.facts()
    assert some["documents"] == whole["documents"] == 12_000
    for name in ("postings", "terms a document", "mean impact", "postings a query"):
        assert some[name] == pytest.approx(whole[name], rel=0.03)
