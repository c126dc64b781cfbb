"""Students: what is saved is what was learned, in folders that others read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.errors import EncoderError
from splade_lucene.training.attention import plain_attention
from splade_lucene.training.student import QueryTable, Student, Texts, load_student
from tests.checkpoints import FAMILIES, make_bert, make_roberta
from tests.helpers import WORDS, tiny_backend

LENGTHS = {"documents": 16, "queries": 8}
TEXTS = [" ".join(WORDS[start : start + 9]) for start in (0, 7, 20)] + [""]


def idf() -> IdfEncoder:
    table = {word: 0.5 + number / 10 for number, word in enumerate(WORDS)}
    return IdfEncoder(Tokenizer(tiny_backend(), 8), table, missing=0.0)


def changed(student: Student) -> Student:
    """As if it had learned something."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return student


def students(folder: Path) -> dict[str, Student]:
    return {
        "one network": load_student(folder, max_length={"documents": 16, "queries": 16}),
        "two networks": load_student(folder, folder, max_length=LENGTHS),
        "a table": load_student(folder, idf(), max_length=LENGTHS),
        "a learned table": load_student(folder, idf(), max_length=LENGTHS, learned_table=True),
    }


@pytest.mark.parametrize("kind", ["one network", "two networks", "a table", "a learned table"])
def test_what_is_saved_is_what_was_learned(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    student = changed(students(tiny_model)[kind])
    student.save(tmp_path / "saved")
    for side in ("documents", "queries"):
        expected = student.encoder(side).encode(TEXTS)  # type: ignore[arg-type]
        assert load_encoder(tmp_path / "saved", side=side).encode(TEXTS) == expected  # type: ignore[arg-type]
    fresh = students(tiny_model)[kind]
    fresh.load(tmp_path / "saved")
    assert fresh.encoder("documents").encode(TEXTS) == student.encoder("documents").encode(TEXTS)
    assert fresh.encoder("queries").encode(TEXTS) == student.encoder("queries").encode(TEXTS)


@pytest.mark.parametrize("kind", ["one network", "two networks", "a table"])
def test_sentence_transformers_reads_it(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    from sentence_transformers import SparseEncoder

    student = changed(students(tiny_model)[kind])
    student.save(tmp_path / "saved")
    theirs = SparseEncoder(str(tmp_path / "saved"), device="cpu")
    special = student.tokenizers["documents"].special_ids
    for side, encode in (("documents", theirs.encode_document), ("queries", theirs.encode_query)):
        ours = student.encoder(side).encode(TEXTS)  # type: ignore[arg-type]
        dense: Tensor = encode(TEXTS, convert_to_sparse_tensor=False, convert_to_tensor=True)  # type: ignore[assignment]
        dense[:, special] = 0.0  # which sentence-transformers keeps
        for number in range(len(TEXTS)):
            found = np.zeros(dense.shape[1], dtype=np.float32)
            start, end = ours.indptr[number : number + 2]
            found[ours.terms[start:end]] = ours.weights[start:end]
            assert found == pytest.approx(dense[number].numpy(), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_a_student(family: str, tmp_path: Path) -> None:
    student = changed(load_student(FAMILIES[family](tmp_path / "given"), max_length=LENGTHS, layers=1))
    student.save(tmp_path / "saved")
    found = load_encoder(tmp_path / "saved").encode(TEXTS)
    assert found == student.encoder("documents").encode(TEXTS)


def test_gradients_reach_every_parameter(tiny_model: Path) -> None:
    student = load_student(tiny_model, max_length=LENGTHS)
    tokens = student.tokenizers["documents"](TEXTS[:2])
    ids = torch.tensor([each.ids[:5] for each in tokens])
    queries, documents = student(
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        {"input_ids": ids.repeat(2, 1), "attention_mask": torch.ones_like(ids).repeat(2, 1)},
    )
    assert queries.shape == (2, documents.shape[2])
    assert documents.shape[:2] == (2, 2)
    (queries.unsqueeze(1) * documents).sum().backward()
    assert all(parameter.grad is not None for parameter in student.parameters() if parameter.requires_grad)


def test_random_weights_follow_from_torchs_seed_and_keep_the_shape(tiny_model: Path) -> None:
    def made(seed: int, *, random: bool = True) -> list[float]:
        torch.manual_seed(seed)
        student = load_student(tiny_model, max_length=LENGTHS, layers=1, random=random)
        assert student.documents.body.config.num_hidden_layers == 1
        return student.encoder("documents").encode(TEXTS).weights.tolist()

    assert made(1) == made(1)
    assert made(1) != made(2)
    assert made(1) != made(1, random=False)


def test_without_dropout_a_student_learns_from_what_it_gives(tiny_model: Path) -> None:
    ids = torch.arange(5, 13).repeat(4, 1)
    texts: Texts = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def differ(*, dropout: bool) -> bool:
        student = load_student(tiny_model, max_length=LENGTHS, dropout=dropout).train()
        (queries, _), (again, _) = (student(texts, texts) for _ in range(2))
        assert queries.requires_grad
        return not torch.equal(queries, again)

    assert differ(dropout=True)
    assert not differ(dropout=False)


def test_attention_is_plain_while_a_student_learns_and_as_it_was_afterwards(tiny_model: Path) -> None:
    body = load_student(tiny_model, max_length=LENGTHS).documents.body
    usual = body.config._attn_implementation
    with pytest.raises(ZeroDivisionError), plain_attention(body):
        assert body.config._attn_implementation == ("eager" if not torch.accelerator.is_available() else usual)
        raise ZeroDivisionError
    assert body.config._attn_implementation == usual != "eager"


def test_a_query_that_is_looked_up() -> None:
    table = QueryTable(torch.tensor([9.0, 0.5, -2.0, 3.0]), [0])
    ids = torch.tensor([[1, 3, 3, 0], [2, 1, 0, 0]])
    found = table(ids, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    assert found.tolist() == [[0, 0.5, 0, 3], [0, 0.5, 0, 0]]
    assert not list(filter(lambda each: each.requires_grad, table.parameters()))


def test_two_vocabularies_cannot_meet(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="different vocabularies"):
        load_student(make_bert(tmp_path / "bert"), make_roberta(tmp_path / "roberta"), max_length=LENGTHS)


def test_layers_that_are_not_there(tiny_model: Path) -> None:
    with pytest.raises(EncoderError, match="cannot keep 3 of the 2 layers"):
        load_student(tiny_model, max_length=LENGTHS, layers=3)


def test_what_does_not_learn_is_refused() -> None:
    with pytest.raises(EncoderError, match="an exported network does not learn"):
        load_student("default", max_length=LENGTHS)


def test_another_kind_of_student_is_not_loaded(tiny_model: Path, tmp_path: Path) -> None:
    load_student(tiny_model, max_length=LENGTHS).save(tmp_path)
    with pytest.raises(EncoderError, match="another kind of student: its queries"):
        load_student(tiny_model, idf(), max_length=LENGTHS).load(tmp_path)
