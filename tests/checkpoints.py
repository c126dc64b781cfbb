"""Tiny random checkpoints of every family, in the layout that its authors publish; always the same.

`FAMILIES` are masked-LM folders; the functions below them put around such a folder what OpenSearch and
sentence-transformers put around theirs.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE, Unigram
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer, UnigramTrainer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaTokenizer,
)

from tests.helpers import SPECIALS, WORDS, tiny_backend

MAX_LENGTH = 32  # what the tokenizers say; each network has POSITIONS
POSITIONS = 40
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WIDE = {"initializer_range": 0.3}  # wide enough for weights between 0 and 3, about half of them 0

ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_NAMED = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIALS, strict=True))
_TRAINING = [" ".join(WORDS[start : start + 7]) for start in range(len(WORDS))] * 3 + [
    "el niño está aquí",
    "日本語 の 文",
]


def make_bert(folder: Path, **changes: Any) -> Path:
    """BERT over the 64 terms of `tiny_backend`."""
    config = BertConfig(vocab_size=_size(tiny_backend()), max_position_embeddings=POSITIONS, **SIZES, **WIDE)
    config.update(changes)
    return _save(folder, lambda: BertForMaskedLM(config), _bert_tokenizer())


def make_distilbert(folder: Path) -> Path:
    """DistilBERT: no token types, a head with other names."""
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    config = DistilBertConfig(vocab_size=_size(tiny_backend()), max_position_embeddings=POSITIONS, **sizes, **WIDE)
    return _save(folder, lambda: DistilBertForMaskedLM(config), _bert_tokenizer())


def make_roberta(folder: Path) -> Path:
    """RoBERTa: byte-level terms, padding has id 1, positions are counted from 2."""
    trained = Backend(BPE())
    trained.pre_tokenizer = ByteLevel(add_prefix_space=False)
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=360, special_tokens=ROBERTA_SPECIALS, initial_alphabet=sorted(alphabet))
    trained.train_from_iterator(_TRAINING, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = RobertaTokenizer(vocab=model["vocab"], merges=merges, model_max_length=MAX_LENGTH)
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=POSITIONS + 2, **SIZES, **WIDE)
    return _save(folder, lambda: RobertaForMaskedLM(config), tokenizer)


def make_xlm_roberta(folder: Path) -> Path:
    """XLM-RoBERTa: SentencePiece terms with their marker ▁."""
    trained = Backend(Unigram())
    trained.pre_tokenizer = Metaspace()
    trainer = UnigramTrainer(vocab_size=120, special_tokens=ROBERTA_SPECIALS[:4], unk_token="<unk>")
    trained.train_from_iterator(_TRAINING, trainer)
    pieces = [tuple(pair) for pair in json.loads(trained.to_str())["model"]["vocab"]]
    tokenizer = XLMRobertaTokenizer(vocab=[*pieces, ("<mask>", 0.0)], model_max_length=MAX_LENGTH)
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    config = XLMRobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=POSITIONS + 2, **ids, **SIZES, **WIDE)
    return _save(folder, lambda: XLMRobertaForMaskedLM(config), tokenizer)


def make_modernbert(folder: Path) -> Path:
    """ModernBERT: byte-level terms, among them runs of spaces; special terms last; more outputs than terms."""
    backend = Backend(BPE())
    backend.normalizer = NFC()
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(_TRAINING, BpeTrainer(vocab_size=340, initial_alphabet=sorted(ByteLevel.alphabet())))
    backend.add_tokens([AddedToken(" " * count, normalized=True) for count in range(8, 1, -1)])
    backend.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(each, backend.token_to_id(each)) for each in ("[CLS]", "[SEP]")]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=MAX_LENGTH, **_NAMED)
    config = ModernBertConfig(
        vocab_size=384,
        max_position_embeddings=POSITIONS,
        pad_token_id=backend.token_to_id("[PAD]"),
        cls_token_id=backend.token_to_id("[CLS]"),
        sep_token_id=backend.token_to_id("[SEP]"),
        bos_token_id=None,
        eos_token_id=None,
        global_attn_every_n_layers=2,
        local_attention=8,
        initializer_cutoff_factor=2.0,
        **SIZES,
        **WIDE,
    )
    return _save(folder, lambda: ModernBertForMaskedLM(config), tokenizer)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "bert": make_bert,
    "distilbert": make_distilbert,
    "roberta": make_roberta,
    "xlm-roberta": make_xlm_roberta,
    "modernbert": make_modernbert,
}


# What is put around them


def add_opensearch_tables(folder: Path, table: dict[str, float]) -> Path:
    """An inference-free model: `idf.json`, and the same as lines."""
    _write(folder / "idf.json", table)
    lines = "".join(f"{term}\t{weight}\n" for term, weight in table.items())
    (folder / "query_token_weights.txt").write_text(lines, encoding="utf-8")
    return folder


def add_sparse_encoder_files(
    folder: Path,
    *,
    transformer: str = "sentence_transformers.sparse_encoder.models.MLMTransformer",
    pooling: str = "max",
    activation: str = "relu",
    settings: dict[str, Any] | None = None,
    configuration: dict[str, Any] | None = None,
) -> Path:
    """A masked-LM folder becomes a SparseEncoder's, written as releases before 5.4 did unless told otherwise."""
    modules = [("", transformer), ("1_SpladePooling", "sentence_transformers.sparse_encoder.models.SpladePooling")]
    _write(
        folder / "modules.json",
        [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(modules)],
    )
    _write(folder / "sentence_bert_config.json", settings or {"max_seq_length": MAX_LENGTH, "do_lower_case": False})
    pooled = {"pooling_strategy": pooling, "activation_function": activation, "word_embedding_dimension": None}
    (folder / "1_SpladePooling").mkdir()
    _write(folder / "1_SpladePooling" / "config.json", pooled)
    stated = {"model_type": "SparseEncoder", "prompts": {}, "default_prompt_name": None, "similarity_fn_name": "dot"}
    _write(folder / "config_sentence_transformers.json", stated | (configuration or {}))
    return folder


def copied(folder: Path, to: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(folder, to))


def _save(folder: Path, network: Callable[[], PreTrainedModel], tokenizer: Any) -> Path:
    torch.set_num_threads(1)  # its matrices are too small to be shared
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(17)
        made = network()
        with torch.no_grad():  # a fresh head's bias is zero, a trained one's is not
            for name, parameter in made.named_parameters():
                if name.endswith(("decoder.bias", "predictions.bias", "lm_head.bias", "vocab_projector.bias")):
                    parameter.normal_(std=0.3)
        made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _bert_tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tiny_backend(), model_max_length=MAX_LENGTH, **_NAMED)


def _size(backend: Backend) -> int:
    return int(backend.get_vocab_size(with_added_tokens=True))


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2), encoding="utf-8")
