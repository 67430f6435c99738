"""Objectives: a sum and a weight, divided once per optimizer step.

They differ in how much of each token's negative log-likelihood they take.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TOP = 20
"""Tokens that EAFT's entropy looks at (K in the paper)."""


class WeightedSum(NamedTuple):
    """A loss not yet divided, so that micro-batches and ranks can be added up first."""

    loss: Float[Tensor, ""]
    weight: Float[Tensor, ""]


class TokenScores(NamedTuple):
    """What the model says of the tokens that have a weight."""

    logprobs: Float[Tensor, "tokens"]
    entropy: Float[Tensor, "tokens"]
    is_top1: Bool[Tensor, "tokens"]
    top_entropy: Float[Tensor, "tokens"] | None = None
    """Normalised, of the most probable tokens; only where the objective asks for it."""


@dataclass(frozen=True, slots=True)
class Objective:
    """Which part of a token's negative log-likelihood counts, besides its weight."""

    scale: Callable[[TokenScores], Float[Tensor, "tokens"]]
    """A constant to the optimizer: no gradient flows through it."""
    needs_top_entropy: bool = False


def weighted_nll(logprobs: Float[Tensor, "*tokens"], loss_weights: Float[Tensor, "*tokens"]) -> WeightedSum:
    """Negative log-likelihood of the weighted tokens (CFT paper, eq. 8).

    A weight of 0 takes a token out of the sum and of the denominator: that is all that critical-token
    fine-tuning is. Weights of 1 everywhere give plain SFT.
    """
    return WeightedSum(loss=-(loss_weights * logprobs).sum(), weight=loss_weights.sum())


def all_of_it(scores: TokenScores) -> Float[Tensor, "tokens"]:
    """Plain cross-entropy (CFT paper, eq. 8)."""
    return torch.ones_like(scores.logprobs)


def probability(scores: TokenScores) -> Float[Tensor, "tokens"]:
    """Dynamic fine-tuning: the token's own probability (arXiv 2508.05629)."""
    return scores.logprobs.detach().exp()


def uncertainty(scores: TokenScores) -> Float[Tensor, "tokens"]:
    """Entropy-adaptive fine-tuning: next to nothing where the model is sure of itself (arXiv 2601.02151)."""
    assert scores.top_entropy is not None
    return scores.top_entropy


def scores_of(
    logits: Float[Tensor, "tokens vocabulary"], ids: Int[Tensor, "tokens"], with_top_entropy: bool = False
) -> TokenScores:
    """The scores of these tokens; an id of -100 is none, and scores 0."""
    logprobs = logits.float().log_softmax(-1)
    found = logprobs.detach()
    return TokenScores(
        -torch.nn.functional.nll_loss(logprobs, ids, reduction="none"),
        torch.special.entr(found.exp()).sum(-1),
        found.argmax(-1) == ids,
        top_entropy(found) if with_top_entropy else None,
    )


def top_entropy(logits: Float[Tensor, "tokens vocabulary"], num_top: int = TOP) -> Float[Tensor, "tokens"]:
    """Entropy of the most probable tokens among themselves, over its largest value: from 0 to 1.

    >>> top_entropy(torch.tensor([[2.0, 2.0, -1e9], [9.0, -1e9, -1e9]]), num_top=2).abs().tolist()
    [1.0, 0.0]
    """
    num_top = min(num_top, logits.shape[-1])
    logprobs = logits.topk(num_top, dim=-1).values.log_softmax(-1)
    return -(logprobs.exp() * logprobs).sum(-1) / math.log(num_top)


OBJECTIVES = {
    "weighted": Objective(all_of_it),
    "dft": Objective(probability),
    "eaft": Objective(uncertainty, needs_top_entropy=True),
}
