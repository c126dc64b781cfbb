"""A history of changes to an index that two processes know: what each commit does follows from its number alone."""

import random
from collections.abc import Iterator
from typing import Any

from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.writer import ImpactWriter
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import TermVectors
from tests.helpers import weights

TERMS = [f"t{number}" for number in range(60)]
OPTIONS = IndexOptions(quantizer=Quantizer(1), threads=1)

Rows = dict[str, dict[str, int]]


def row(chance: random.Random) -> dict[str, int]:
    return {term: chance.randint(1, 9) for term in chance.sample(TERMS, chance.randint(0, 20))}


def first(seed: int) -> Rows:
    """What the index is built of."""
    chance = random.Random(f"{seed}")
    return {f"d{number}": row(chance) for number in range(200)}


def changes(seed: int, number: int, held: Rows) -> Iterator[tuple[str, Any]]:
    """What the commit of this number does to an index that holds these documents."""
    chance = random.Random(f"{seed}-{number}")
    for part in range(chance.randint(1, 3)):
        some = chance.sample(sorted(held), min(len(held), chance.randint(0, 30)))
        new = {f"{number}-{part}-{each}": row(chance) for each in range(chance.randint(1, 30))}
        kind = chance.choice(["append", "update", "delete", "delete", "merge"])
        if kind == "append":
            held |= new
            yield "append", new
        elif kind == "update":
            newer = {doc_id: row(chance) for doc_id in some} | new
            held |= newer
            yield "update", newer
        elif kind == "delete":
            for doc_id in some:
                del held[doc_id]
            yield "delete", some
        else:
            yield "merge", chance.randint(1, 3)


def after(seed: int, commits: int) -> Rows:
    """What the index holds after so many commits."""
    held = first(seed)
    for number in range(commits):
        for _ in changes(seed, number, held):
            pass
    return held


def inverted(rows: Rows) -> Rows:
    """The posting list of each term."""
    lists: Rows = {}
    for doc_id, row in rows.items():
        for term, impact in row.items():
            lists.setdefault(term, {})[doc_id] = impact
    return lists


def build(path: str, seed: int) -> None:
    ImpactIndex.build(path, [weights(first(seed))], OPTIONS).close()


def go_on(path: str, seed: int, commits: int) -> None:
    """Commit for ever, and say of each commit when it is done; so many were done before."""
    held = after(seed, commits)
    with ImpactIndex.writer(path, threads=2) as writer:
        print("begun", flush=True)
        while True:
            for kind, what in changes(seed, commits, held):
                change(writer, kind, what)
            writer.commit()
            commits += 1
            print(commits, flush=True)


def change(writer: ImpactWriter, kind: str, what: Any) -> None:
    if kind in ("append", "update"):
        getattr(writer, kind)(batches(what))
    else:
        getattr(writer, kind)(what)


def batches(rows: Rows) -> list[TermVectors]:
    items = list(rows.items())
    return [weights(dict(items[start : start + 7])) for start in range(0, len(items), 7)]
