"""What can go wrong below and around an index: damaged files, a small heap, odd sizes, an interrupt in mid-search.

Whatever is wrong is said, with the file's name; nothing answers wrongly unless a person asked for it; what was there
before stays.
"""

import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_lucene.errors import CorruptIndexError, ImpactIndexError
from splade_lucene.lucene.block_files import PREFIXES
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import read_run, write_run
from splade_lucene.vectors import ImpactVectors, TermVectors, Vocabulary
from tests.helpers import brute_force, impacts, weights
from tests.integration.support import clean, python, splade_lucene

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]

AS_THEY_ARE = Quantizer(1)


def found(index: ImpactIndex, queries: ImpactVectors, k: int, **options: Any) -> dict[str, list[tuple[str, float]]]:
    run = Searcher(index).search_vectors(queries, k, **options)
    return {query_id: [(hit.doc_id, hit.score) for hit in hits] for query_id, hits in run.items()}


# Damaged files


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, int]]:
    chance = random.Random(7)
    terms = [f"t{number}" for number in range(300)]
    return {f"d{number}": {t: chance.randint(1, 200) for t in chance.sample(terms, 40)} for number in range(500)}


@pytest.fixture(scope="module")
def whole(rows: dict[str, dict[str, int]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with a file of every kind that indexes have: texts, postings, doc values, norms."""
    path = tmp_path_factory.mktemp("indexes") / "whole"
    texts = [(doc_id, f"the text of {doc_id}") for doc_id in rows]
    ImpactIndex.build(path, [weights(rows)], IndexOptions(AS_THEY_ARE), texts=texts).close()
    return path


KINDS = [
    *("segments_", ".si", ".fnm", ".fdm", ".fdt", ".fdx", ".nvd", ".nvm"),
    *(".doc", ".psm", ".tim", ".tip", ".tmd", ".dvd", ".dvm", ".dvs"),
]


def of_kind(folder: Path, kind: str) -> Path:
    """The one file of a kind."""
    (file,) = folder.glob(f"{kind}*" if kind == "segments_" else f"*{kind}")
    return file


@pytest.fixture
def changed(whole: Path, tmp_path: Path) -> Callable[[str, Callable[[bytes], bytes]], Path]:
    """A copy of the index, one file of which has other bytes."""

    def copy(kind: str, change: Callable[[bytes], bytes]) -> Path:
        shutil.rmtree(tmp_path / "damaged", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "damaged")
        file = of_kind(tmp_path / "damaged", kind)
        file.write_bytes(change(file.read_bytes()))
        return tmp_path / "damaged"

    return copy


def test_these_are_all_kinds_of_files_that_lucene_writes(whole: Path) -> None:
    named = {of_kind(whole, kind).name for kind in KINDS}
    assert {file.name for file in whole.iterdir() if not file.name.startswith(PREFIXES)} - named == {"write.lock"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_and_its_file_named(
    kind: str, changed: Callable[[str, Callable[[bytes], bytes]], Path], whole: Path
) -> None:
    """When the index is opened if the file is one that is read as a whole then, and by a check in any case."""
    chance = random.Random(kind)
    name = of_kind(whole, kind).name
    size = of_kind(whole, kind).stat().st_size

    for place in [0, size - 1, *(chance.randrange(size) for _ in range(4))]:
        bit = 1 << chance.randrange(8)
        path = changed(kind, lambda whole, place=place, bit=bit: flipped(whole, place, bit))  # type: ignore[misc]
        with pytest.raises(ImpactIndexError) as refused, ImpactIndex(path) as index:
            index.check()
        said = str(refused.value)
        assert str(path) in said and name in said and clean(said), (place, bit)


def flipped(whole: bytes, place: int, bit: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_found_when_the_index_is_opened(
    kind: str, changed: Callable[[str, Callable[[bytes], bytes]], Path], whole: Path
) -> None:
    size = of_kind(whole, kind).stat().st_size
    for left in (size - 1, size // 2, 0):
        path = changed(kind, lambda whole, left=left: whole[:left])  # type: ignore[misc]
        with pytest.raises(ImpactIndexError) as refused:
            ImpactIndex(path)
        assert str(path) in str(refused.value) and "damaged" in str(refused.value), left


def test_postings_that_are_damaged_below_an_open_index_crash_nothing(
    changed: Callable[[str, Callable[[bytes], bytes]], Path], rows: dict[str, dict[str, int]], whole: Path
) -> None:
    """Lucene reads postings without looking at their checksum: an answer may be wrong, and a check says why."""
    chance = random.Random(11)
    query = impacts({"q": {f"t{number}": 1 for number in range(300)}})
    for kind in (".doc", ".tim", ".dvd"):
        size = of_kind(whole, kind).stat().st_size
        for _ in range(8):
            place = chance.randrange(size // 20, size - 20)
            path = changed(kind, lambda whole, place=place: flipped(whole, place, 1))  # type: ignore[misc]
            with ImpactIndex(path) as index:
                try:
                    assert len(found(index, query, 1000)["q"]) <= len(rows)
                except Exception as error:
                    assert type(error).__module__ == "splade_lucene.errors", repr(error)
                with pytest.raises(CorruptIndexError, match=f"damaged; build it again .*checksum failed.*{kind}"):
                    index.check()


def test_the_doctor_checks_an_index(
    changed: Callable[[str, Callable[[bytes], bytes]], Path], cli: Cli, whole: Path
) -> None:
    finished = cli("doctor", "--index", whole, "--json")
    assert finished.code == 0 and "500 documents in 1 segments, all files whole" in finished.out
    path = changed(".doc", lambda whole: flipped(whole, len(whole) // 2, 4))
    finished = cli("doctor", "--index", path, "--json")
    assert finished.code == 1
    assert "checksum failed" in finished.out and ".doc" in finished.out and clean(finished.out)


# Damaged files beside Lucene's: a search does without, and they are written anew where they are missing


def blocks(folder: Path) -> Path:
    """The one block file of an index."""
    return beside(folder, "blocks")


def beside(folder: Path, kind: str) -> Path:
    """The one file of a kind, which is not Lucene's."""
    (file,) = folder.glob(f"{kind}-*")
    return file


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "copied")
    return tmp_path / "copied"


def expect_whole(path: Path, whole: Path, rows: dict[str, dict[str, int]]) -> None:
    """The index has its files again, and finds by them what brute force finds."""
    query = {f"t{number}": 1 + number % 3 for number in range(60)}
    with ImpactIndex(path) as index:
        for kind in PREFIXES:
            assert beside(path, kind).read_bytes() == beside(whole, kind).read_bytes()
        index.check()
        for skip in (True, False):
            options = SearchOptions(skip=skip)
            run = Searcher(index, options=options).search_vectors(impacts({"q": query}), 10, threads=1)
            assert [tuple(hit) for hit in run["q"]] == brute_force(rows, query, 10)


@pytest.mark.parametrize("kind", PREFIXES)
@pytest.mark.parametrize("left", ["nothing", 0, 1, 30, 1_000, -1], ids=str)
def test_one_that_is_missing_or_cut_is_written_anew(
    left: str | int, kind: str, copied: Path, whole: Path, rows: dict[str, dict[str, int]]
) -> None:
    file = beside(copied, kind)
    if isinstance(left, str):
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:left])
    expect_whole(copied, whole, rows)


@pytest.mark.parametrize("kind", PREFIXES)
def test_one_of_another_segment_is_written_anew(
    kind: str, copied: Path, whole: Path, rows: dict[str, dict[str, int]], tmp_path: Path
) -> None:
    """Even where that segment has the same documents: it is tied to this one by its id."""
    ImpactIndex.build(tmp_path / "other", [weights(rows)], IndexOptions(AS_THEY_ARE)).close()
    assert beside(tmp_path / "other", kind).stat().st_size == beside(copied, kind).stat().st_size
    shutil.copy(beside(tmp_path / "other", kind), beside(copied, kind))
    expect_whole(copied, whole, rows)


@pytest.mark.parametrize("kind", PREFIXES)
def test_one_of_a_segment_that_is_gone_is_in_nobodys_way(kind: str, copied: Path) -> None:
    old = beside(copied, kind).name
    options = IndexOptions(AS_THEY_ARE, overwrite=True)
    with ImpactIndex.build(copied, [weights({"new": {"t1": 3}})], options) as index:
        assert found(index, impacts({"q": {"t1": 2}}), 10) == {"q": [("new", 6)]}
    assert beside(copied, kind).name != old
    shutil.copy(beside(copied, kind), copied / old)  # somebody brings it back
    with ImpactIndex(copied) as index:
        assert found(index, impacts({"q": {"t1": 2}}), 10) == {"q": [("new", 6)]}


def test_only_the_largest_segment_has_a_rank_file(copied: Path) -> None:
    """What a killed process left of another goes with the next commit."""
    first = beside(copied, "ranks")
    (copied / "ranks_part_0.tmp").write_bytes(first.read_bytes()[:100])
    with ImpactIndex.writer(copied) as writer:
        writer.append([weights({"new": {"t1": 3}})], [("new", "some text")])
    assert [file.name for file in copied.glob("ranks*")] == [first.name]
    more = {f"more{number}": {"t1": 1} for number in range(1_000)}
    with ImpactIndex.writer(copied) as writer:
        writer.append([weights(more)], [(doc_id, "some text") for doc_id in more])
    assert not first.exists() and [beside(copied, "ranks")] == list(copied.glob("ranks*"))
    with ImpactIndex(copied) as index:
        assert index.segments == 3
        index.check()


def test_a_flipped_bit_in_a_rank_file_is_mended_when_the_index_is_opened(
    whole: Path, copied: Path, rows: dict[str, dict[str, int]]
) -> None:
    right = beside(whole, "ranks").read_bytes()
    chance = random.Random(17)
    for place in [0, 20, len(right) - 1, *(chance.randrange(len(right)) for _ in range(10))]:
        beside(copied, "ranks").write_bytes(flipped(right, place, 1 << chance.randrange(8)))
        expect_whole(copied, whole, rows)
    with ImpactIndex(copied) as index:
        beside(copied, "ranks").write_bytes(flipped(right, 100, 4))
        with pytest.raises(CorruptIndexError, match=f"checksum failed.*{beside(whole, 'ranks').name}"):
            index.check()


def test_a_flipped_bit_in_a_block_file_is_mended_or_found_by_a_check(
    whole: Path, copied: Path, rows: dict[str, dict[str, int]]
) -> None:
    right = blocks(whole).read_bytes()
    chance = random.Random(13)
    query = impacts({"q": {f"t{number}": 1 for number in range(300)}})
    found_damaged = 0
    for place in [0, 20, len(right) - 1, *(chance.randrange(len(right)) for _ in range(30))]:
        blocks(copied).write_bytes(flipped(right, place, 1 << chance.randrange(8)))
        with ImpactIndex(copied) as index:
            exact = Searcher(index, options=SearchOptions(skip=False)).search_vectors(query, 5)["q"]
            assert [tuple(hit) for hit in exact] == brute_force(rows, query.row(0), 5)
            try:
                assert len(found(index, query, 10)["q"]) <= 10
            except Exception as error:
                assert type(error).__module__ == "splade_lucene.errors", (place, repr(error))
            if blocks(copied).read_bytes() != right:
                with pytest.raises(CorruptIndexError, match=f"checksum failed.*{blocks(whole).name}"):
                    index.check()
                found_damaged += 1
    assert found_damaged
    blocks(copied).unlink()
    expect_whole(copied, whole, rows)


# Odd sizes


@pytest.fixture(scope="module")
def wide() -> TermVectors:
    """Forty documents of 1 to 30,000 terms."""
    chance = np.random.default_rng(3)
    lengths = np.array([30_000, *chance.integers(1, 2_000, 39)])
    terms = [np.sort(chance.choice(30_000, length, replace=False)) for length in lengths]
    return TermVectors(
        [f"d{number}" for number in range(40)],
        np.concatenate([[0], lengths.cumsum()]),
        np.concatenate(terms).astype(np.int32),
        Vocabulary(f"t{number}" for number in range(30_000)),
        chance.integers(1, 300, lengths.sum()).astype(np.float32),
    )


def test_a_query_of_30_000_terms(wide: TermVectors, cli: Cli, tmp_path: Path) -> None:
    """Lucene's own queries end at 1,024."""
    asked = {f"t{number}": 1 + number % 7 for number in range(30_000)}
    documents = {doc_id: AS_THEY_ARE(wide).row(number) for number, doc_id in enumerate(wide.ids)}
    with ImpactIndex.build(tmp_path / "i", [wide], IndexOptions(AS_THEY_ARE)) as index:
        for k in (1, 10, 100):
            for threads in (1, 2):
                assert found(index, impacts({"q": asked}), k, threads=threads) == {
                    "q": brute_force(documents, asked, k)
                }
    (tmp_path / "q.tsv").write_text("q\t" + " ".join(" ".join([term] * count) for term, count in asked.items()) + "\n")
    finished = cli("search", "--index", tmp_path / "i", "--query-vectors", tmp_path / "q.tsv", "--k", 3)
    assert finished.code == 0
    assert [line.split()[2] for line in finished.out.splitlines()] == [
        doc_id for doc_id, _ in brute_force(documents, asked, 3)
    ]


def test_scores_on_both_sides_of_two_to_the_24(tmp_path: Path) -> None:
    """A float32 cannot tell 2**24 from 2**24 + 1; the scores can, and a run file keeps their order."""
    around = {f"d{offset:+}": {"a": 2**12, "b": 2**12 + offset} for offset in (-2, -1, 0, 1, 2, 3)}
    query = {"a": 2**12 - 1, "b": 1}
    documents = {doc_id: row for doc_id, row in reversed((around | {"twin": around["d+1"]}).items())}
    with ImpactIndex.build(tmp_path / "i", [weights(documents)], IndexOptions(AS_THEY_ARE)) as index:
        for skip in (True, False):
            run = Searcher(index, options=SearchOptions(skip=skip)).search_vectors(impacts({"q": query}))
            assert [tuple(hit) for hit in run["q"]] == brute_force(documents, query, 10)
            assert sorted(set(run["q"].scores.tolist())) == [2**24 + offset for offset in (-2, -1, 0, 1, 2, 3)]
    write_run(tmp_path / "x.run", run)
    assert read_run(tmp_path / "x.run")["q"].doc_ids == run["q"].doc_ids


@pytest.mark.parametrize(
    "options",
    [
        SearchOptions(),
        SearchOptions(skip=False),
        SearchOptions(first_pass_terms=99),
        SearchOptions(first_pass_terms=99, rescore=10**12),
        SearchOptions(max_postings=10**12, time_budget_ms=10**6),
    ],
    ids=str,
)
def test_a_k_beyond_the_documents(options: SearchOptions, rows: dict[str, dict[str, int]], whole: Path) -> None:
    query = {f"t{number}": 1 + number % 5 for number in range(20)}
    with ImpactIndex(whole) as index:
        for k in (500, 501, 10**6, 10**12):
            for threads in (1, 2):
                run = Searcher(index, options=options).search_vectors(impacts({"q": query}), k, threads=threads)
                assert [tuple(hit) for hit in run["q"]] == brute_force(rows, query, 500), k
                assert not run["q"].cut


# A small heap: what Java runs out of memory with is said, and is no more than a failed command


def test_a_heap_too_small_to_index_leaves_the_old_index(tmp_path: Path) -> None:
    ImpactIndex.build(tmp_path / "i", [weights({"old": {"word": 1}})], IndexOptions(AS_THEY_ARE)).close()
    (tmp_path / "v.jsonl").write_text('{"id": "new", "vector": {"word": 2}}\n')
    index = ("index", "--vectors", tmp_path / "v.jsonl", "--index", tmp_path / "i", "--overwrite")
    for heap in ("8m", "24m"):
        finished = splade_lucene(*index, SPLADE_LUCENE_JAVA_OPTIONS=f"-Xmx{heap}")
        assert (finished.returncode, finished.stdout) == (1, ""), finished
        assert f"Java's heap is too small for {tmp_path / 'i'}; set SPLADE_LUCENE_JAVA_OPTIONS=" in finished.stderr
        assert clean(finished.stderr)
        with ImpactIndex(tmp_path / "i") as opened:
            opened.check()
            assert opened.postings("word") == {"old": 1}
    assert splade_lucene(*index, SPLADE_LUCENE_JAVA_OPTIONS="-Xmx512m").returncode == 0


MANY_HITS = """
import sys
from pathlib import Path
from splade_lucene.errors import JvmError
from splade_lucene import ImpactIndex, Quantizer, Searcher, TermVectors
searcher = Searcher(sys.argv[1], quantizer=Quantizer(1))
queries = TermVectors.from_rows({f"q{number}": {"a": 1} for number in range(150)})
try:
    searcher.search_vectors(queries, 60_000)
except JvmError as error:
    print(error)
print([tuple(hit) for hit in searcher.search({"a": 2}, 3)])
"""


def test_a_heap_too_small_for_so_many_hits_still_answers_for_fewer(tmp_path: Path) -> None:
    """9,000,000 hits take more than 64 MB; the reader that met this goes on."""
    doc_ids = [f"d{number:06}" for number in range(60_000)]
    every = np.zeros(60_000, dtype=np.int32)
    vectors = TermVectors(doc_ids, np.arange(60_001), every, Vocabulary(["a"]), (every + 5).astype(np.float32))
    ImpactIndex.build(tmp_path / "i", [vectors], IndexOptions(AS_THEY_ARE)).close()
    finished = python(MANY_HITS, tmp_path / "i", SPLADE_LUCENE_JAVA_OPTIONS="-Xmx64m")
    assert finished.returncode == 0, finished.stderr
    refused, answer = finished.stdout.splitlines()
    assert refused.startswith(f"Java's heap is too small for {tmp_path / 'i'}; set SPLADE_LUCENE_JAVA_OPTIONS=")
    assert answer == str([("d000000", 10), ("d000001", 10), ("d000002", 10)])


# Ctrl-C


@pytest.fixture
def after_a_while() -> Iterator[Callable[[float], None]]:
    """Sends this process a Ctrl-C so many seconds from now."""
    timers: list[threading.Timer] = []

    def begin(seconds: float) -> None:
        main = threading.main_thread().ident
        assert main is not None
        timers.append(threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGINT)))
        timers[-1].start()

    yield begin
    for timer in timers:
        timer.cancel()
        timer.join()


def test_a_search_that_is_interrupted_leaves_its_reader_in_order(
    after_a_while: Callable[[float], None], rows: dict[str, dict[str, int]], whole: Path
) -> None:
    chance = random.Random(5)
    asked = {f"q{number}": {f"t{chance.randrange(300)}": 1 for _ in range(30)} for number in range(20)}
    expected = {query_id: brute_force(rows, query, 10) for query_id, query in asked.items()}
    repeated = impacts({f"q{number}": asked[f"q{number % 20}"] for number in range(20_000)})
    with ImpactIndex(whole) as index:
        for threads in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                for _ in range(50):  # once, but for the rare one that comes in what ignores it, a gc callback for one
                    after_a_while(0.2)
                    Searcher(index).search_vectors(repeated, 500, threads=threads)
            assert found(index, impacts(asked), 10, threads=threads) == expected
        assert workers_end()


def workers_end() -> bool:
    """Whether the threads that worked on the interrupted search stop by themselves."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if not any("splade-lucene-j" in file.read_text() for file in Path("/proc/self/task").glob("*/comm")):
            return True
        time.sleep(0.01)
    return False
