"""Inspections from log-probabilities of the best tokens, against those from all logits."""

import numpy as np
import pytest
import torch

from cruxtune.engines.reference import inspect_logits
from cruxtune.engines.scores import Scores, inspect_scores


def scores_of(logits: torch.Tensor, ids: list[int], num_best: int) -> list[Scores]:
    """What a server would tell: the best tokens, and the one that stands there."""
    rows = []
    for row, token_id in zip(logits.log_softmax(-1), ids, strict=True):
        best = row.topk(num_best).indices.tolist()
        rows.append({other: float(row[other]) for other in [token_id, *best]})
    return rows


def test_scores_of_the_whole_vocabulary_tell_as_much_as_logits():
    torch.manual_seed(0)
    logits, ids = torch.randn(7, 30) * 3, list(range(7))
    wanted = inspect_logits(logits, torch.tensor(ids), 4)
    found = inspect_scores(scores_of(logits, ids, 30), ids, 4, 30)
    assert found.top_ids.tolist() == wanted.top_ids.tolist()
    for name in ("top_probs", "token_probs", "entropies", "margins"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-5)
        assert getattr(found, name).dtype == np.float32


def test_without_the_tail_the_entropy_is_a_lower_bound_and_all_else_stays():
    torch.manual_seed(1)
    logits, ids = torch.randn(7, 30), [29] * 7
    wanted = inspect_logits(logits, torch.tensor(ids), 3)
    found = inspect_scores(scores_of(logits, ids, 5), ids, 3, 30)
    assert found.top_ids.tolist() == wanted.top_ids.tolist()
    assert found.token_probs == pytest.approx(wanted.token_probs, rel=1e-5)
    assert found.margins == pytest.approx(wanted.margins, abs=1e-5)
    left_out = 1 - np.array([sum(np.exp(list(row.values()))) for row in scores_of(logits, ids, 5)])
    assert (found.entropies < wanted.entropies).all()
    assert (found.entropies + left_out * np.log(30) > wanted.entropies).all()


def test_two_tokens_share_the_entropy_that_one_line_of_arithmetic_gives():
    found = inspect_scores([{3: np.log(0.5), 4: np.log(0.25)}], [4], 1, 100)
    assert found.entropies[0] == pytest.approx(-(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25)))
    assert found.top_ids.tolist() == [[3]]
    assert found.margins[0] == pytest.approx(np.log(2.0))


def test_nothing_scored_is_an_empty_inspection():
    assert inspect_scores([], [], 3, 100).top_ids.shape == (0, 3)
