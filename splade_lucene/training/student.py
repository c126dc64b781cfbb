"""The student: the networks that training changes, one for each side, and the folder they are kept in.

Imports torch and transformers. Law: a folder that `Student.save` wrote gives, read by `load_encoder`, the vectors that
the student gives; sentence-transformers reads it, too. A folder of one network for both sides has one length, the
documents'.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypedDict, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splade_lucene.encoding.encoder import NetworkEncoder, find_model
from splade_lucene.encoding.layouts import (
    Checkpoint,
    agreed,
    read_layout,
    write_sparse_encoder_files,
    write_sparse_router_files,
)
from splade_lucene.encoding.model import SpladeModel, load_masked_lm
from splade_lucene.encoding.options import Side
from splade_lucene.encoding.pooling import Activation, Pooling
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.encoding.torch_encoder import CPU_BATCH_TOKENS, load_fast_tokenizer
from splade_lucene.errors import EncoderError
from splade_lucene.training.attention import plain_attention
from splade_lucene.vectors import EncoderIdentity


class Texts(TypedDict):
    """A batch of token ids and its mask, both (B, L)."""

    input_ids: Tensor
    attention_mask: Tensor


class QueryTable(nn.Module):
    """q_j = relu(v_j) for each term j that stands in the query, once: no network.

    Args:
        weights: (V,) v; the table of an inference-free model, usually an idf.
        special_ids: terms that never weigh anything.
        learned: whether training changes v.
    """

    kept: Tensor  # (V,) 1, or 0 for the special terms

    def __init__(self, weights: Tensor, special_ids: Sequence[int], *, learned: bool = False) -> None:
        super().__init__()
        weights = weights.float().clone()
        weights[list(special_ids)] = 0.0
        self.weights = nn.Parameter(weights, requires_grad=learned)
        kept = torch.ones_like(weights)
        kept[list(special_ids)] = 0.0
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) ids and mask → (B, V) float32 weights >= 0."""
        present = torch.zeros(len(input_ids), len(self.weights), device=input_ids.device)
        present.scatter_reduce_(1, input_ids, attention_mask.float(), "amax")
        return present * torch.relu(self.weights) * self.kept


class Student(nn.Module):
    """Two encoders to be trained, which may be one and the same.

    Args:
        documents: encodes documents.
        queries: encodes queries: the same network, another one, or a `QueryTable`.
        tokenizer: transformers' fast tokenizer of both.
        max_length: tokens of a text, by side.
        dropout: whether networks learn with the dropout that their checkpoints name.
    """

    def __init__(
        self,
        documents: SpladeModel,
        queries: SpladeModel | QueryTable,
        tokenizer: Any,
        max_length: dict[Side, int],
        *,
        dropout: bool = True,
    ) -> None:
        super().__init__()
        self._dropout = dropout
        self.documents = documents
        self.queries = queries
        self.fast_tokenizer = tokenizer
        self.max_length = max_length
        self.tokenizers: dict[Side, Tokenizer] = {side: self._tokenizer(side) for side in ("documents", "queries")}

    def _tokenizer(self, side: Side) -> Tokenizer:
        from tokenizers import Tokenizer as Backend

        backend = Backend.from_str(self.fast_tokenizer.backend_tokenizer.to_str())  # each side's cuts at its length
        pad_id = self.fast_tokenizer.pad_token_id or 0
        around = not (side == "queries" and isinstance(self.queries, QueryTable))
        return Tokenizer(backend, self.max_length[side], pad_id=pad_id, special_tokens=around)

    @property
    def inference_free(self) -> bool:
        """Whether queries are looked up in a table."""
        return isinstance(self.queries, QueryTable)

    def train(self, mode: bool = True) -> Self:
        """Dropout is all that differs between a network that learns and one that does not."""
        return super().train(mode and self._dropout)

    def forward(self, queries: Texts, documents: Texts) -> tuple[Tensor, Tensor]:
        """B queries and B·M documents → (B, V) and (B, M, V) float32 weights >= 0."""
        with ExitStack() as stack:
            for each in {self.documents, self.queries}:
                if isinstance(each, SpladeModel):
                    stack.enter_context(plain_attention(each.body))
            candidates = self.documents(**documents)
            return self.queries(**queries), candidates.unflatten(0, (len(queries["input_ids"]), -1))

    def encoder(self, side: Side) -> "StudentEncoder":
        """What encodes texts with the networks as they are now."""
        return StudentEncoder(self, side)

    def save(self, folder: Path) -> None:
        """Write what `load_encoder` and sentence-transformers read: one checkpoint, or a Router of the two sides'."""
        of_documents = self._checkpoint(folder, self.documents, "documents")
        if self.queries is self.documents:
            self._write(self.documents, folder)
            write_sparse_encoder_files(of_documents)
            return
        kept: dict[Side, Path] = write_sparse_router_files(
            of_documents,
            None if isinstance(self.queries, QueryTable) else self._checkpoint(folder, self.queries, "queries"),
        )
        self._write(self.documents, kept["documents"])
        if isinstance(self.queries, SpladeModel):
            self._write(self.queries, kept["queries"])
            return
        from safetensors.torch import save_file

        weights = torch.relu(self.queries.weights.detach().cpu()) * self.queries.kept.cpu()
        save_file({"weight": weights.contiguous()}, kept["queries"] / "model.safetensors")
        self._save_tokenizer(kept["queries"], "queries")

    def _checkpoint(self, folder: Path, network: SpladeModel, side: Side) -> Checkpoint:
        return Checkpoint(folder, network.pooling, network.activation, self.max_length[side])

    def _write(self, network: SpladeModel, folder: Path) -> None:
        with network.whole() as masked_lm:
            masked_lm.save_pretrained(folder)
        self._save_tokenizer(folder, "documents" if network is self.documents else "queries")

    def _save_tokenizer(self, folder: Path, side: Side) -> None:
        stated = self.fast_tokenizer.model_max_length
        self.fast_tokenizer.model_max_length = self.max_length[side]
        try:
            self.fast_tokenizer.save_pretrained(folder)
        finally:
            self.fast_tokenizer.model_max_length = stated

    def load(self, folder: Path) -> None:
        """Take the weights of a folder that `save` wrote.

        Raises:
            EncoderError: it holds another kind of student.
        """
        self._load(self.documents, folder, "documents")
        if self.queries is not self.documents:
            self._load(self.queries, folder, "queries")

    def _load(self, network: SpladeModel | QueryTable, folder: Path, side: Side) -> None:
        layout = read_layout(folder, side)
        if isinstance(network, SpladeModel) and isinstance(layout, Checkpoint):
            saved, _ = load_masked_lm(layout.folder)
            with network.whole() as masked_lm:
                masked_lm.load_state_dict(saved.state_dict())
            return
        if isinstance(network, QueryTable) and not isinstance(layout, Checkpoint):
            from safetensors.torch import load_file

            with torch.no_grad():
                network.weights.copy_(load_file(layout.folder / "model.safetensors")["weight"])
            return
        raise EncoderError(f"{folder} is of another kind of student: its {side} are encoded in another way")


class StudentEncoder(NetworkEncoder):
    """A student's networks as an encoder of texts, for validation and mining while it learns."""

    def __init__(self, student: Student, side: Side) -> None:
        tokenizer = student.tokenizers[side]
        network = student.queries if side == "queries" else student.documents
        self._network = network
        identity = EncoderIdentity(
            name="student",
            fingerprint="learning",
            vocabulary=tokenizer.vocabulary.fingerprint,
            max_length=tokenizer.max_length,
            activation=network.activation if isinstance(network, SpladeModel) else "table",
            tokenizer=tokenizer.fingerprint,
        )
        super().__init__(tokenizer, identity, batch_tokens=4 * CPU_BATCH_TOKENS)

    def _weights(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], *, alone: bool
    ) -> NDArray[np.float32]:
        device = next(self._network.parameters()).device
        learning = self._network.training
        self._network.eval()
        try:
            with torch.inference_mode():
                inputs = (torch.from_numpy(each).to(device) for each in (input_ids, attention_mask))
                return self._network(*inputs).float().cpu().numpy()  # type: ignore[no-any-return]
        finally:
            self._network.train(learning)


def load_student(
    documents: str | Path,
    queries: str | Path | IdfEncoder | None = None,
    *,
    max_length: dict[Side, int],
    layers: int | None = None,
    random: bool = False,
    pooling: Pooling | None = None,
    activation: Activation | None = None,
    learned_table: bool = False,
    dropout: bool = True,
) -> Student:
    """A student that begins as given models.

    Args:
        documents: the model that encodes documents: a folder or a hub name of a masked-LM or SPLADE checkpoint.
        queries: None for the same network; another model; or the encoder of an inference-free model's queries.
        max_length: tokens of a text, by side.
        layers: of the network's layers only so many are kept, the lower ones.
        random: whether the networks begin with random weights, by torch's generator, and only their shape is the
            checkpoint's.
        pooling: where the checkpoint does not say; max by default.
        activation: the same; log1p_relu by default.
        learned_table: whether an inference-free student's query weights are learned, too.
        dropout: as in `Student`.

    Raises:
        ModelNotFoundError, EncoderError: as `load_encoder`; or the two sides have other vocabularies.
    """
    network, tokenizer = _load_network(documents, layers, random, pooling, activation)
    of_queries: SpladeModel | QueryTable = network
    if isinstance(queries, IdfEncoder):
        size = network.decoder.out_features
        table = torch.zeros(size)
        table[: len(queries.table)] = torch.from_numpy(queries.table)
        special = [*range(len(queries.table), size)]
        of_queries = QueryTable(table, [*tokenizer.all_special_ids, *special], learned=learned_table)
    elif queries is not None:
        of_queries, other = _load_network(queries, layers, random, pooling, activation)
        if other.get_vocab() != tokenizer.get_vocab():
            raise EncoderError(f"{documents} and {queries} have different vocabularies; their terms cannot meet")
    return Student(network, of_queries, tokenizer, max_length, dropout=dropout)


def _load_network(
    model: str | Path, layers: int | None, random: bool, pooling: Pooling | None, activation: Activation | None
) -> tuple[SpladeModel, Any]:
    folder, _ = find_model(model)
    layout = read_layout(folder, "documents")
    if not isinstance(layout, Checkpoint):
        raise EncoderError(f"{folder}: training wants a masked-LM checkpoint; an exported network does not learn")
    masked_lm, _ = load_masked_lm(layout.folder)
    if layers is not None:
        _keep_layers(masked_lm, layers)
    if random:
        masked_lm = cast(Any, type(masked_lm))(masked_lm.config)
    tokenizer = load_fast_tokenizer(layout.folder)
    pooled: Pooling = agreed("pooling", layout.pooling, pooling, folder) or "max"
    activated: Activation = agreed("activation", layout.activation, activation, folder) or "log1p_relu"
    return SpladeModel(masked_lm, tokenizer.all_special_ids, pooled, activated), tokenizer


def _keep_layers(masked_lm: nn.Module, layers: int) -> None:
    """Cut the network to its lower layers.

    Raises:
        EncoderError: it has fewer, or its layers are not found.
    """
    config: Any = masked_lm.config
    names = {id(module): (parent, name) for parent in masked_lm.modules() for name, module in parent.named_children()}
    stacks = [
        module
        for module in masked_lm.modules()
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers
    ]
    if len(stacks) != 1 or not 1 <= layers <= len(stacks[0]):
        raise EncoderError(
            f"cannot keep {layers} of the {config.num_hidden_layers} layers of {type(masked_lm).__name__}"
        )
    parent, name = names[id(stacks[0])]
    setattr(parent, name, stacks[0][:layers])
    kept = {"n_layers" if hasattr(config, "n_layers") else "num_hidden_layers": layers}
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    config.update(kept)
