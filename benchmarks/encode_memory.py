"""What `splade-lucene encode` holds in memory, and whether its cost grows linearly, over collections of growing size.

    python -m benchmarks.encode_memory [--sizes N,N,…] [--input FILE] [--options "--weights float16"] [--json]

Each size is one process of its own, and its peak is what the system says of that process when it has ended. The model
is a checkpoint of random weights, one layer of 32 dimensions, so that the pipeline and not the network is measured.
"""

import importlib.metadata
import json
import os
import platform
import random
import shlex
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Report, Row
from splade_lucene.datasets import Doc, read_documents
from splade_lucene.encoding.encoder import DEFAULT_MODEL
from splade_lucene.files import writing_text
from splade_lucene.vector_folders import open_vectors

SIZES = "1000,10000,50000,100000,200000"
VOCABULARY_WORDS = 1_000  # of the default model's, its most frequent ones, and all its single letters
TERMS_A_DOCUMENT = 150
_WORDS_A_DOCUMENT = (4.2, 0.6)  # mean and deviation of the logarithm: 80 words in the mean
_COMMAND = "import sys; sys.argv[0] = 'splade-lucene'; from splade_lucene.cli import main; main()"
# A process's peak begins at the size of the one that started it: so a small one starts it, and says what it took.
_MEASURED = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, used = os.wait4(process.pid, 0)
took = time.perf_counter() - start
print(json.dumps([os.waitstatus_to_exitcode(status), took, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


class Run(NamedTuple):
    """One process: what it took, in seconds, and the most memory it had resident, in bytes."""

    wall: float
    cpu: float
    peak: int


def encode(model: Path, texts: Path, output: Path, options: list[str]) -> Run:
    """Run `splade-lucene encode` in a process of its own."""
    arguments = ["encode", "--model", str(model), "--input", str(texts), "--output", str(output), *options]
    command = [sys.executable, "-S", "-c", _MEASURED, sys.executable, "-c", _COMMAND, *arguments]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    code, wall, cpu, peak = json.loads(said)
    if code:
        raise SystemExit(f"splade-lucene {shlex.join(arguments)}: exit {code}")
    return Run(wall, cpu, peak * (1 if platform.system() == "Darwin" else 1024))  # the unit of ru_maxrss


def tiny_checkpoint(folder: Path) -> None:
    """A masked-LM checkpoint of random weights, the same each time, with about 150 terms a document."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_tokenizer(), model_max_length=256, pad_token="[PAD]")
    torch.manual_seed(17)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    network = BertForMaskedLM(config).eval()
    texts = [doc.default_text() for doc in islice(documents(), 64)]
    with torch.inference_mode():
        given = tokenizer(texts, padding=True, truncation=True, return_tensors="pt", return_token_type_ids=False)
        logits = network(**given).logits.masked_fill(given["attention_mask"].unsqueeze(-1) == 0, -1e9)
    highest = logits.amax(dim=1).flatten()  # (64 V), of each text and term
    with torch.no_grad():
        network.get_output_embeddings().bias -= highest.quantile(1 - TERMS_A_DOCUMENT / len(tokenizer))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> Any:
    """The default model's tokenizer with a small vocabulary; what it lacks is spelled letter by letter."""
    from tokenizers import Tokenizer

    described = json.loads((DEFAULT_MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    specials = {each["content"] for each in described["added_tokens"]}
    terms = described["model"]["vocab"]
    letters = [term for term in terms if term.isascii() and len(term.removeprefix("##")) == 1]
    words = [term for term in terms if term.isalpha() and len(term) > 1]
    kept = dict.fromkeys([*(term for term in terms if term in specials), *letters, *words[:VOCABULARY_WORDS]])
    described["model"]["vocab"] = {term: number for number, term in enumerate(kept)}
    for each in described["added_tokens"]:
        each["id"] = described["model"]["vocab"][each["content"]]
    for name, each in (described["post_processor"].get("special_tokens") or {}).items():
        each["ids"] = [described["model"]["vocab"][name]]
    return Tokenizer.from_str(json.dumps(described))


def documents() -> Iterator[Doc]:
    """Documents without end, the same each time: words as frequent as their rank says, 80 in the mean."""
    chance = random.Random(17)
    vocabulary = json.loads((DEFAULT_MODEL / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = [term for term in vocabulary if term.isalpha() and len(term) > 1][:VOCABULARY_WORDS]
    cumulated, total = [], 0.0
    for rank in range(1, len(words) + 1):
        total += 1 / rank
        cumulated.append(total)
    number = 0
    while True:
        length = max(1, round(chance.lognormvariate(*_WORDS_A_DOCUMENT)))
        yield Doc(f"d{number}", "", " ".join(chance.choices(words, cum_weights=cumulated, k=length)))
        number += 1


def write(texts: Iterator[Doc], count: int, file: Path) -> int:
    """Write so many documents, or all there are, and return their number."""
    written = 0
    with writing_text(file) as output:
        for doc in islice(texts, count):
            output.write(json.dumps({"_id": doc.doc_id, "title": doc.title, "text": doc.text}) + "\n")
            written += 1
    return written


def measure(source: str | None, sizes: list[int], options: list[str]) -> list[Row]:
    """One row for each size; the first run, of one document, says what the start costs."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="benchmark-encode-") as folder:
        model, texts, output = (Path(folder, name) for name in ("model", "texts.jsonl", "vectors"))
        tiny_checkpoint(model)
        start = Run(0.0, 0.0, 0)
        for size in [1, *sizes]:
            count = write(read_documents(source) if source else documents(), size, texts)
            run = encode(model, texts, output / str(size), options)
            encoded = open_vectors(output / str(size))
            assert encoded is not None and (encoded.passages is not None or encoded.documents == count)
            if size == 1:
                start = run
                continue
            rows.append(
                {
                    "documents": f"{count:,}",
                    "seconds": run.wall,
                    "documents/s": count / (run.wall - start.wall),
                    "CPU seconds": run.cpu,
                    "CPU ms a document": 1e3 * (run.cpu - start.cpu) / count,
                    "peak MB": run.peak / 1e6,
                    "above the start's": (run.peak - start.peak) / 1e6,
                    "vectors MB": sum(file.stat().st_size for file in (output / str(size)).iterdir()) / 1e6,
                }
            )
            if count < size:
                break
    return rows


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=SIZES, help="documents, comma-separated")
    parser.add_argument("--input", help="real texts: the first so many of this INPUT; else they are made")
    parser.add_argument("--options", default="", help="more options for `splade-lucene encode`")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    rows = measure(arguments.input, sizes, shlex.split(arguments.options))
    Report(
        benchmark="encode_memory",
        machine={"cores": os.cpu_count(), "python": platform.python_version(), "torch": _version("torch")},
        collection={"texts": arguments.input or "made"},
        settings={"options": arguments.options or "none"},
        rows=rows,
        notes=[
            "each row is one process; its peak is its largest resident set as the system reports it at its end, the "
            "libraries included",
            "documents/s and CPU ms a document leave out the start, which a run of one document measures",
            "the network has one layer of 32 dimensions and random weights, so that the figures are the pipeline's",
        ],
    ).print(as_json=arguments.json)


def _version(package: str) -> str:
    return importlib.metadata.version(package)


if __name__ == "__main__":
    main()
