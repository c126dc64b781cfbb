"""Results of three systems on five collections, made up and always the same, one of them missing; for reports."""

from dataclasses import replace

import numpy as np

from splade_lucene.evaluation.results import Cost, Latency, Match, Result, ShownDocument, ShownQuery, WeightedTerm

BASELINE = "bm25"
COLLECTIONS = {"nfcorpus": (3_633, 323), "scifact": (5_183, 300), "arguana": (8_674, 140), "fiqa": (57_638, 120)}
MISSING = ("trec-covid", "default")  # that data set failed for this system
HOSTILE = "<script>document.title = 'taken'</script> & \"quotes\" \\input{x} | a_b 50%"
MEASURES = {"nDCG@10": 0.0, "R@100": 0.22, "RR@10": 0.06}  # and about how much higher than nDCG@10
MACHINE = {"cpu": "8 cores", "memory": "32 GB", "Python": "3.12.3", "Lucene": "10.5.0", "splade_lucene": "0.1.0"}

_WORDS = [
    *("statin", "cholesterol", "lower", "heart", "risk", "vitamin", "cancer", "cell", "protein", "diet", "gene"),
    *("trial", "drug", "blood", "infection", "vaccine", "market", "bond", "tax", "income", "school", "policy"),
    *("energy", "water", "climate", "paper"),
]
_SYSTEMS = {  # quality, terms of a query, postings of a document, milliseconds of encoding and searching
    "bm25": (0.42, 5, 70, None, 0.42),
    "naver/splade-v3": (0.51, 24, 190, 21.0, 1.9),
    "default": (0.46, 17, 120, 4.2, 1.1),
}


def demo_results() -> list[Result]:
    """The results, in the order in which they would have been made."""
    collections = {**COLLECTIONS, "trec-covid": (171_332, 50)}
    return [
        _result(collection, system, documents, queries)
        for collection, (documents, queries) in collections.items()
        for system in _SYSTEMS
        if (collection, system) != MISSING
    ]


def sweep(scales: tuple[float, ...] = (10, 25, 100)) -> list[Result]:
    """One system with several settings on one collection, beside a baseline."""
    made = [_result("scifact", system, 5_183, 300) for system in ("bm25", "default")]
    more = [
        replace(
            made[1],
            settings={**made[1].settings, "scale": scale},
            measures={name: value * (1 - 0.5 / scale) for name, value in made[1].measures.items()},
            cost=replace(
                _cost("default", 5_183, 300), index_bytes=int(2e6 + scale * 1e4), expected_postings=900 + scale
            ),
        )
        for scale in scales
    ]
    return [made[0], *more]


def _result(collection: str, system: str, documents: int, queries: int) -> Result:
    quality, *_ = _SYSTEMS[system]
    hard = np.random.default_rng(len(collection))  # how hard a query is, for every system
    ours = np.random.default_rng([ord(letter) for letter in collection + system])
    levels = hard.beta(1.2, 1.2, queries)
    texts = [" ".join(hard.choice(_WORDS, 5)) for _ in range(queries)]
    texts[0] = HOSTILE
    names = [f"{collection[:3]}-{number}" for number in range(1, queries + 1)]
    per_query = {}
    for measure, more in MEASURES.items():
        values = np.clip(levels * 0.8 + quality - 0.36 + more + ours.normal(0, 0.16, queries), 0, 1)
        values[ours.random(queries) < 0.06] = 0
        per_query[measure] = dict(zip(names, (float(value) for value in values), strict=True))
    first = per_query["nDCG@10"]
    ordered = sorted(first, key=lambda name: (first[name], name))
    shown = tuple(
        _shown(name, texts[names.index(name)], first[name], system) for name in (*ordered[:2], names[0], *ordered[-2:])
    )
    return Result(
        collection=collection,
        system=system,
        settings={"k": 1_000, "title": True} if system == "bm25" else _settings(system, collection),
        measures={name: float(np.mean(list(values.values()))) for name, values in per_query.items()},
        per_query=per_query,
        queries=dict(zip(names, texts, strict=True)),
        missing_queries=int(sum(value == 0 for value in first.values()) // 3),
        unjudged_queries=0 if collection != "fiqa" else 528,
        cost=_cost(system, documents, queries),
        machine=MACHINE,
        shown=shown,
    )


def _settings(system: str, collection: str) -> dict[str, object]:
    length = 512 if system != "default" else 256
    return {"k": 1_000, "title": collection != "arguana", "max_length": length, "scale": 100, "revision": "ab12cd3"}


def _cost(system: str, documents: int, queries: int) -> Cost:
    _, terms, postings, encoding, searching = _SYSTEMS[system]
    searching *= documents**0.5 / 100
    return Cost(
        documents=documents,
        queries=queries,
        encode_seconds=None if encoding is None else documents * encoding / 640,
        cut_documents=None if encoding is None else documents // 90,
        index_seconds=documents / 9_000,
        index_bytes=int(documents * (postings * 1.9 + 60)),
        postings_per_document=postings * 1.03,
        terms_per_query=terms * 1.1,
        expected_postings=terms * documents * 0.031,
        query_encoding=None if encoding is None else Latency(encoding, encoding * 1.4, encoding * 2.2),
        search=Latency(searching, searching * 1.9, searching * 3.1),
        queries_per_second=2 / (searching + (encoding or 0)) * 1_000,
        threads=2,
    )


def _shown(name: str, text: str, value: float, system: str) -> ShownQuery:
    random = np.random.default_rng([ord(letter) for letter in name + system])
    own = [word for word in dict.fromkeys(text.split())][:8]
    added = [] if system == "bm25" else [str(word) for word in random.choice(_WORDS, 6, replace=False)]
    added = [word for word in added if word not in own]
    terms = [WeightedTerm(word, float(random.integers(80, 240)), False) for word in own]
    terms += [WeightedTerm(word, float(random.integers(5, 90)), True) for word in added]
    terms.sort(key=lambda term: -term.impact)

    def document(rank: int | None, relevance: int | None) -> ShownDocument:
        parts = sorted((int(part) for part in random.integers(200, 30_000, min(6, len(terms)))), reverse=True)
        matches = tuple(
            Match(term.term, part, not term.expansion, bool(random.random() < 0.6) if rank else None)
            for term, part in zip(terms, parts, strict=False)
        )
        words = " ".join(str(word) for word in random.choice(_WORDS, 60))
        return ShownDocument(
            f"MED-{random.integers(1, 5_000)}", words, rank, relevance, float(sum(parts) + 431), matches
        )

    missed = (document(131, 1), document(None, 2)) if value < 0.5 else ()
    return ShownQuery(
        name,
        text,
        value,
        tuple(terms),
        tuple(document(rank, (1 if value > 0.5 else 0) if rank < 3 else None) for rank in range(1, 6)),
        missed,
    )
