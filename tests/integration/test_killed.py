"""kill -9 at any moment of writing leaves the last commit, whole, and the next writer goes on from it."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from tests.helpers import brute_force, impacts
from tests.integration import changes
from tests.integration.support import environment

pytestmark = pytest.mark.jvm

KILLS = 50
AT_A_TIME = 2
COMMITS = 4  # that a writer may finish before it is killed; the first takes long, as its JVM is cold
LONGEST = 0.08  # seconds that it works on the next one
GO_ON = "import sys; from tests.integration.changes import go_on; go_on(sys.argv[1], *map(int, sys.argv[2:]))"


class Victim:
    """An index that is changed all the time, by one process after another."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.seed = path, seed
        self.complaints = path.with_suffix(".stderr")
        self.commits = 0
        changes.build(str(path), seed)
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", GO_ON, str(self.path), str(self.seed), str(self.commits)]
        with self.complaints.open("w") as stderr:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment())

    def kill(self, commits: int, seconds: float) -> None:
        """Let it do so many commits and then work for a while, and kill it; then see what it has left."""
        stdout: IO[str] | None = self.process.stdout
        assert stdout is not None
        said = [stdout.readline() for _ in range(1 + commits)]
        time.sleep(seconds)
        self.end()
        assert self.process.returncode == -signal.SIGKILL, self.complaints.read_text()
        whole = [line for line in [*said, *stdout] if line.endswith("\n")]
        stdout.close()
        self.commits = self._found(int(whole[-1]) if len(whole) > 1 else self.commits)  # the first line says: begun

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _found(self, said: int) -> int:
        """How many commits the index has seen: all that were done, and perhaps the one that was not told any more."""
        with ImpactIndex(self.path) as index:
            index.check()
            held = {term: found for term in index.terms() if (found := index.postings(term))}
            for commits in (said, said + 1):
                rows = changes.after(self.seed, commits)
                if held == changes.inverted(rows):
                    self._expect(index, rows)
                    return commits
            raise AssertionError(f"after {said} commits the index holds neither these nor one more")

    @staticmethod
    def _expect(index: ImpactIndex, rows: changes.Rows) -> None:
        assert index.manifest is not None
        assert (index.manifest.documents, index.manifest.empty_documents, index.manifest.postings) == (
            len(rows),
            sum(not row for row in rows.values()),
            sum(map(len, rows.values())),
        )
        assert len(index) == len(rows)
        vectors = index.vectors(list(rows))
        assert {doc_id: vectors.row(number) for number, doc_id in enumerate(vectors.ids)} == rows
        query = {"t1": 3, "t2": 1, "t3": 2, "t40": 7}
        found = Searcher(index).search_vectors(impacts({"q": query}), 10)["q"]
        assert [tuple(hit) for hit in found] == brute_force(rows, query, 10)

    def go_on(self) -> None:
        self.process = self._begin()


@pytest.fixture
def victims(tmp_path: Path) -> Iterator[list[Victim]]:
    begun = [Victim(tmp_path / f"index{seed}", seed) for seed in range(AT_A_TIME)]
    yield begun
    for victim in begun:
        victim.end()


@pytest.mark.slow
def test_kill_9_leaves_the_last_commit_whole(victims: list[Victim]) -> None:
    chance = random.Random(17)
    for number in range(KILLS):
        victim = victims[number % AT_A_TIME]
        victim.kill(chance.randint(0, COMMITS), chance.uniform(0, LONGEST))
        victim.go_on()
    assert all(victim.commits >= KILLS // AT_A_TIME for victim in victims)  # it was not always too early
    for victim in victims:  # nothing that a killed writer has left behind stays for ever
        victim.end()
        with ImpactIndex.writer(victim.path) as writer:
            writer.delete(["never"])
            writer.merge()
        with ImpactIndex(victim.path) as index:
            segments = min(len(index), 1)  # the history empties the index at times, and it may have been killed there
            assert index.segments == segments
        prefixes = {file.name.split("_Lucene")[0].split(".")[0] for file in victim.path.glob("_*")}
        assert len(prefixes) == segments, prefixes
