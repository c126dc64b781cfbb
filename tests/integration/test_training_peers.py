"""Losses beside sentence-transformers', and regularizers on two processes beside one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from splade_lucene.training.losses import BatchScores, InfoNce, KlDivergence, MarginMse
from splade_lucene.training.regularizers import L1, Flops, TermStatistics, flops
from tests.integration.support import PATIENCE, environment

pytestmark = pytest.mark.slow

B, M, V = 4, 3, 50
GENERATOR = torch.Generator().manual_seed(11)
QUERIES = torch.rand(B, V, generator=GENERATOR)
DOCUMENTS = torch.rand(B, M, V, generator=GENERATOR)
TAUGHT = 5 * torch.rand(B, M, generator=GENERATOR)


def theirs(name: str) -> Any:
    from sentence_transformers.sparse_encoder import losses

    return getattr(losses, name)(torch.nn.Module()).compute_loss_from_embeddings


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (InfoNce(negatives="everything"), "SparseMultipleNegativesRankingLoss"),
        (MarginMse(), "SparseMarginMSELoss"),
        (KlDivergence(temperature=2), "SparseDistillKLDivLoss"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_losses_of_sentence_transformers(ours: Any, name: str) -> None:
    """The same values, and the same gradients."""
    found = []
    for loss in (
        lambda queries, documents: ours(BatchScores(torch.einsum("iv,jmv->ijm", queries, documents), TAUGHT)),
        lambda queries, documents: theirs(name)([queries, *documents.unbind(1)], TAUGHT),
    ):
        given = [each.clone().requires_grad_() for each in (QUERIES, DOCUMENTS)]
        value = loss(*given)
        found.append([value, *torch.autograd.grad(value, given)])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threshold", [0, 25])
def test_flops_of_sentence_transformers(threshold: int) -> None:
    from sentence_transformers.sparse_encoder.losses import FlopsLoss

    sparse = torch.relu(DOCUMENTS.flatten(0, 1) - torch.linspace(0.2, 0.8, B * M).unsqueeze(1))
    their = FlopsLoss(torch.nn.Module(), threshold=threshold or None)  # type: ignore[arg-type]
    torch.testing.assert_close(flops(sparse, threshold=threshold), their.compute_loss_from_embeddings(sparse))


PROCESS = """
import json, sys, torch
from torch import distributed
from splade_lucene.training.regularizers import L1, Flops, TermStatistics
rank, store = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
weights = torch.load(sys.argv[3], weights_only=True).chunk(2)[rank].clone().requires_grad_()
found = {}
for each in (Flops(weight=1, reduction="joint"), Flops(weight=1), Flops(weight=1, reduction="slot_sum"), L1(weight=1)):
    cost = each(weights, TermStatistics())
    (gradient,) = torch.autograd.grad(cost, weights)
    found[each.name + getattr(each, "reduction", "")] = [cost.item(), gradient.tolist()]
print(json.dumps(found))
distributed.destroy_process_group()
"""


def test_two_processes_cost_what_one_does(tmp_path: Path) -> None:
    torch.save(DOCUMENTS, tmp_path / "weights.pt")
    given = [str(tmp_path / "store"), str(tmp_path / "weights.pt")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), *given],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(GLOO_SOCKET_IFNAME="lo"),
        )
        for rank in (0, 1)
    ]
    try:
        said = [json.loads(process.communicate(timeout=PATIENCE)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
    weights = DOCUMENTS.clone().requires_grad_()
    for each in (
        Flops(weight=1, reduction="joint"),
        Flops(weight=1),
        Flops(weight=1, reduction="slot_sum"),
        L1(weight=1),
    ):
        cost = each(weights, TermStatistics())
        (gradient,) = torch.autograd.grad(cost, weights)
        values, parts = zip(*(found[each.name + getattr(each, "reduction", "")] for found in said), strict=True)
        assert values == pytest.approx([cost.item()] * 2, rel=1e-5)
        # Data parallel training takes the mean of what the processes found for what they share: half of each's.
        torch.testing.assert_close(torch.tensor(parts).flatten(0, 1) / 2, gradient)
