"""Our indexes in Anserini's and Pyserini's hands, and theirs in ours: same hits, same scores, same postings.

On real vectors, all 323 queries. Anserini lowers the scores of ties by millionths; impacts make whole scores, so
rounding takes that away again.
"""

import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.lucene import anserini, jvm
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Run, write_run
from splade_lucene.vector_files import write_jsonl, write_query_tsv
from splade_lucene.vectors import ImpactVectors, TermVectors
from tests.helpers import weights
from tests.integration.support import PATIENCE, python

pytestmark = pytest.mark.jvm

DEPTH = 1000
EMPTY = {"MED-empty-1": {}, "MED-empty-2": {}}


@pytest.fixture(scope="session")
def nfcorpus_run(nfcorpus_index: ImpactIndex, nfcorpus_queries: ImpactVectors) -> Run:
    return Searcher(nfcorpus_index).search_vectors(nfcorpus_queries, DEPTH)


@pytest.fixture(scope="session")
def all_documents(nfcorpus_documents: list[TermVectors]) -> list[TermVectors]:
    """With two empty documents among them."""
    return [*nfcorpus_documents[:3], weights(EMPTY), *nfcorpus_documents[3:]]


@pytest.fixture(scope="session")
def impacts_form(all_documents: list[TermVectors], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImpactIndex]:
    options = IndexOptions(Quantizer(1), threads=2)
    with ImpactIndex.build(tmp_path_factory.mktemp("forms") / "impacts", all_documents, options) as index:
        yield index


@pytest.fixture(scope="session")
def repeat_form(all_documents: list[TermVectors], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImpactIndex]:
    options = IndexOptions(Quantizer(1), form="repeat", threads=2)
    with ImpactIndex.build(tmp_path_factory.mktemp("forms") / "repeat", all_documents, options) as index:
        yield index


def all_postings(index: ImpactIndex) -> dict[str, dict[str, int]]:
    return {term: index.postings(term) for term in index.terms()}


def whole(scored: list[object]) -> list[tuple[str, int]]:
    """Anserini's hits, their tie adjustment rounded away."""
    return [(hit.docid, round(hit.score)) for hit in scored]  # type: ignore[attr-defined]


def test_lucene_has_nothing_to_complain_of(
    nfcorpus_index: ImpactIndex, impacts_form: ImpactIndex, repeat_form: ImpactIndex
) -> None:
    for index in (nfcorpus_index, impacts_form, repeat_form):
        index.check()


def test_simple_impact_searcher_finds_the_same_in_our_index(
    nfcorpus_index: ImpactIndex, nfcorpus_queries: ImpactVectors, nfcorpus_run: Run
) -> None:
    searcher = jvm.java_class("io.anserini.search.SimpleImpactSearcher")(str(nfcorpus_index.path))
    hash_map, integer = (jvm.java_class(f"java.{name}") for name in ("util.HashMap", "lang.Integer"))
    for number, query_id in enumerate(nfcorpus_queries.ids):
        query = hash_map()
        for term, impact in nfcorpus_queries.row(number).items():
            query.put(term, integer(impact))
        assert whole(searcher.search(query, DEPTH)) == [tuple(hit) for hit in nfcorpus_run[query_id]]


def test_search_collection_writes_the_same_run_of_our_index(
    nfcorpus_index: ImpactIndex, nfcorpus_queries: ImpactVectors, nfcorpus_run: Run, tmp_path: Path
) -> None:
    topics, theirs, ours = tmp_path / "topics.tsv", tmp_path / "theirs.run", tmp_path / "ours.run"
    write_query_tsv(topics, nfcorpus_queries)
    write_run(ours, nfcorpus_run)
    _without_catalogue(tmp_path / "classes")
    class_path = ":".join([str(tmp_path / "classes"), *jvm.class_path()])
    options = f"-impact -pretokenized -topicReader TsvString -hits {DEPTH} -threads 2"
    files = ["-index", str(nfcorpus_index.path), "-topics", str(topics), "-output", str(theirs)]
    command = [str(jvm.running_java().program), "-cp", class_path, "io.anserini.search.SearchCollection"]
    subprocess.run([*command, *options.split(), *files], check=True, capture_output=True, timeout=PATIENCE)
    assert _lines_by_query(theirs) == _lines_by_query(ours)


def _lines_by_query(run: Path) -> dict[str, list[tuple[str, str, int]]]:
    """query_id → (doc_id, rank, score) in the order of the file; SearchCollection sorts the queries."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for line in run.read_text().splitlines():
        query_id, _, doc_id, rank, score, _ = line.split()
        found.setdefault(query_id, []).append((doc_id, rank, round(float(score))))
    return found


def _without_catalogue(folder: Path) -> None:
    """A class that stands before Anserini's own, which asks GitHub whether a local path names a published index.

    `public class PrebuiltIndexHandler { public static PrebuiltIndexHandler get(String name) { return null; } }`
    """
    name = "io/anserini/util/PrebuiltIndexHandler"

    def text(said: str) -> bytes:
        return struct.pack(">BH", 1, len(said)) + said.encode()

    def class_of(number: int) -> bytes:
        return struct.pack(">BH", 7, number)

    constants = [text(name), class_of(1), text("java/lang/Object"), class_of(3)]
    constants += [text("get"), text(f"(Ljava/lang/String;)L{name};"), text("Code")]
    body = struct.pack(">HHI2B", 1, 1, 2, 0x01, 0xB0)  # stack 1, locals 1: aconst_null, areturn
    attribute = struct.pack(">HI", 7, len(body) + 4) + body + bytes(4)
    file = folder / f"{name}.class"
    file.parent.mkdir(parents=True)
    file.write_bytes(
        struct.pack(">IHHH", 0xCAFEBABE, 0, 52, len(constants) + 1)
        + b"".join(constants)
        + struct.pack(">6H", 0x21, 2, 4, 0, 0, 1)  # public, this, super; no interfaces, no fields, one method
        + struct.pack(">4H", 0x09, 5, 6, 1)  # public static, its name, its types, one attribute
        + attribute
        + bytes(2)
    )


def test_an_index_of_anserinis_is_searched_by_us(
    nfcorpus_documents: list[TermVectors], nfcorpus_queries: ImpactVectors, nfcorpus_run: Run, tmp_path: Path
) -> None:
    collection, path = tmp_path / "collection", tmp_path / "index"
    write_jsonl(collection / "documents.jsonl", map(Quantizer(1), nfcorpus_documents))
    options = ("-collection", "JsonVectorCollection", "-impact", "-pretokenized")
    anserini.index_collection(collection, path, *options, threads=1)
    with ImpactIndex(path) as index:
        assert index.manifest is None
        assert len(index) == sum(map(len, nfcorpus_documents))
        assert Searcher(index).search_vectors(nfcorpus_queries, DEPTH) == nfcorpus_run


def test_both_forms_have_the_same_postings(impacts_form: ImpactIndex, repeat_form: ImpactIndex) -> None:
    assert impacts_form.terms() == repeat_form.terms()
    assert all_postings(impacts_form) == all_postings(repeat_form)


def test_both_forms_hold_the_empty_documents(
    impacts_form: ImpactIndex, repeat_form: ImpactIndex, all_documents: list[TermVectors]
) -> None:
    for index in (impacts_form, repeat_form):
        assert index.manifest is not None
        assert index.manifest.empty_documents == len(EMPTY)
        assert len(index) == index.manifest.documents == sum(map(len, all_documents))
        assert [index.impacts(doc_id, ["diet"]) for doc_id in EMPTY] == [{"diet": 0}, {"diet": 0}]


def test_both_forms_find_the_same(
    impacts_form: ImpactIndex, repeat_form: ImpactIndex, nfcorpus_queries: ImpactVectors, nfcorpus_run: Run
) -> None:
    for index in (impacts_form, repeat_form):
        assert Searcher(index).search_vectors(nfcorpus_queries, DEPTH) == nfcorpus_run


@pytest.mark.parametrize("merge", [True, False], ids=["merged", "unmerged"])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_postings_and_runs_do_not_depend_on_threads_and_merging(
    threads: int,
    merge: bool,
    nfcorpus_documents: list[TermVectors],
    nfcorpus_index: ImpactIndex,
    nfcorpus_queries: ImpactVectors,
    nfcorpus_run: Run,
    tmp_path: Path,
) -> None:
    options = IndexOptions(Quantizer(1), threads=threads, merge=merge)
    with ImpactIndex.build(tmp_path / "index", nfcorpus_documents, options) as index:
        assert index.segments == 1 or not merge
        assert all_postings(index) == all_postings(nfcorpus_index)
        assert Searcher(index).search_vectors(nfcorpus_queries, DEPTH, threads=threads) == nfcorpus_run


PYSERINI = """
import json, sys, types
import splade_lucene.lucene  # starts the JVM on a Java that Pyserini can use
import pyserini.pyclass

class Catalogue(types.ModuleType):
    "Stands for the list of published indexes that `import pyserini.search` fetches from the network: an empty one."
    def __getattr__(self, name):
        if name.isupper():
            return {}
        raise AttributeError(name)

sys.modules["pyserini.prebuilt_index_info"] = Catalogue("pyserini.prebuilt_index_info")

from pyserini.search.lucene import LuceneImpactSearcher
from splade_lucene import PyseriniQueryEncoder, Quantizer, load_encoder

index, scale, *texts = sys.argv[1:]
encoder = PyseriniQueryEncoder(load_encoder("default"), Quantizer(float(scale)))
searcher = LuceneImpactSearcher(index, encoder, min_idf=-1)
for text in texts:
    print(json.dumps([(hit.docid, round(hit.score)) for hit in searcher.search(text, 20)]))
"""


def test_pyserinis_own_searcher_finds_the_same(toy_corpus: dict[str, str], tmp_path: Path) -> None:
    encoder = load_encoder("default")
    documents = encoder.encode(toy_corpus.values(), ids=toy_corpus)
    texts = ["a cat in the sun", "the moon is on the water", "fishing boats"]
    with ImpactIndex.build(tmp_path / "index", [documents], encoder=encoder.identity) as index:
        ours = Searcher(index, encoder)
        said = python(PYSERINI, index.path, 100, *texts, JAVA_HOME=None)
        assert said.returncode == 0, said.stderr
        expected = [[list(hit) for hit in ours.search(text, 20)] for text in texts]
    assert [json.loads(line) for line in said.stdout.splitlines()] == expected
