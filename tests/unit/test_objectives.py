"""Objectives, normalisers and batches, each against an example computed by hand."""

import math
from dataclasses import asdict

import pytest
import torch

from cruxtune.records import Example
from cruxtune.train.batching import IGNORED, PaddedCollator, PaddingFreeCollator, find_targets
from cruxtune.train.normalising import NORMALISERS, by_step
from cruxtune.train.objective import OBJECTIVES, scores_of, top_entropy, weighted_nll

QUARTERS = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]).log()
"""Log-probabilities over a vocabulary of 3; the entropy of each row is 1.5 bits."""
EXAMPLES = [
    Example([7, 8, 9, 10], [0.0, 0.0, 1.0, 0.0]),
    Example([7, 8], [5.0, 3.0]),
    Example([7, 8, 9], [2.0, 0.0, 0.0]),
]


def loss_of(
    name: str, logits: torch.Tensor, ids: list[int], weights: list[float]
) -> tuple[float, torch.Tensor]:
    objective = OBJECTIVES[name]
    logits = logits.clone().requires_grad_()
    scores = scores_of(logits, torch.tensor(ids), objective.needs_top_entropy)
    total = weighted_nll(scores.logprobs, torch.tensor(weights) * objective.scale(scores))
    total.loss.backward()
    return total.loss.item(), logits.grad


def test_weighted_is_weight_times_bits():
    loss, gradient = loss_of("weighted", QUARTERS, [0, 2], [1.0, 3.0])
    assert loss == pytest.approx((1 * 1 + 3 * 2) * math.log(2))
    torch.testing.assert_close(gradient, torch.tensor([[-0.5, 0.25, 0.25], [0.75, 1.5, -2.25]]))


def test_dft_takes_as_much_as_the_token_is_probable():
    loss, gradient = loss_of("dft", QUARTERS, [0, 2], [1.0, 3.0])
    assert loss == pytest.approx((1 * 0.5 * 1 + 3 * 0.25 * 2) * math.log(2))
    by_hand = torch.tensor([[-0.25, 0.125, 0.125], [0.1875, 0.375, -0.5625]])
    torch.testing.assert_close(gradient, by_hand)


def test_eaft_takes_as_much_as_the_model_is_unsure():
    loss, gradient = loss_of("eaft", QUARTERS, [0, 2], [1.0, 3.0])
    unsure = 1.5 / math.log2(3)  # of three tokens, which are fewer than 20
    assert loss == pytest.approx(unsure * (1 * 1 + 3 * 2) * math.log(2))
    by_hand = unsure * torch.tensor([[-0.5, 0.25, 0.25], [0.75, 1.5, -2.25]])
    torch.testing.assert_close(gradient, by_hand)


def test_top_entropy_looks_at_twenty_tokens():
    logits = torch.full((1, 50), -3.0)
    logits[0, 10:30] = 4.0
    assert top_entropy(logits).item() == pytest.approx(1.0)
    logits[0, 11:30] = -30.0
    rest = 19 * math.exp(-7)  # against 1 for the most probable token; the other 30 don't count
    by_hand = math.log(1 + rest) + 7 * rest / (1 + rest)
    assert top_entropy(logits).item() == pytest.approx(by_hand / math.log(20))


def test_scores_say_probability_entropy_and_rank():
    scores = scores_of(QUARTERS, torch.tensor([0, 2]))
    assert scores.logprobs.exp().tolist() == pytest.approx([0.5, 0.25])
    assert scores.entropy.tolist() == pytest.approx([1.5 * math.log(2)] * 2)
    assert scores.is_top1.tolist() == [True, False]


def test_a_token_without_an_id_has_no_loss_and_no_gradient():
    loss, gradient = loss_of("weighted", QUARTERS, [IGNORED, 0], [1.0, 0.0])
    assert loss == 0 and torch.count_nonzero(gradient) == 0


def test_normalisers_by_hand():
    parts = {name: [row.denominator for row in rows(EXAMPLES)] for name, rows in NORMALISERS.items()}
    assert parts["step"] == [1.0, 3.0, 0.0]  # a first token is never predicted
    assert parts["sequence"] == [1.0, 1.0, 0.0]
    assert parts["set"] == pytest.approx([4 / 3] * 3)
    weights = [row.loss_weights for row in NORMALISERS["sequence"](EXAMPLES)]
    assert weights == [[0.0, 0.0, 1.0, 0.0], [5 / 3, 1.0], [2.0, 0.0, 0.0]]


def test_padded_rows_end_with_their_last_weighted_token():
    batch = PaddedCollator(0)([asdict(row) for row in by_step(EXAMPLES)])
    assert batch["input_ids"].tolist() == [[7, 8, 9], [7, 8, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["denominator"].tolist() == [1.0, 3.0, 0.0]


def test_joined_rows_end_with_their_last_weighted_token():
    batch = PaddingFreeCollator()([asdict(row) for row in by_step(EXAMPLES)])
    assert batch["input_ids"].tolist() == [[7, 8, 9, 7, 8]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch["loss_weights"].tolist() == [[0.0, 0.0, 1.0, 0.0, 3.0]]


@pytest.mark.parametrize("collator", [PaddedCollator(0), PaddingFreeCollator()])
def test_where_nothing_has_a_weight_one_token_stands_in(collator):
    batch = collator([asdict(row) for row in by_step(EXAMPLES[2:])])
    targets = find_targets(batch["input_ids"], batch["loss_weights"])
    assert batch["input_ids"].tolist() == [[7]]
    assert [part.tolist() for part in targets] == [[0], [IGNORED], [0.0]]


def test_targets_are_predicted_one_position_earlier():
    batch = PaddedCollator(0)([asdict(row) for row in by_step(EXAMPLES)])
    targets = find_targets(batch["input_ids"], batch["loss_weights"])
    assert targets.positions.tolist() == [1, 3]
    assert targets.ids.tolist() == [9, 8]
    assert targets.weights.tolist() == [1.0, 3.0]
