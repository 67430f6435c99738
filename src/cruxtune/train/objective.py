"""The weighted objective: a sum and a weight, divided once per optimizer step."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class WeightedSum(NamedTuple):
    """A loss not yet divided, so that micro-batches and ranks can be added up first."""

    loss: Float[Tensor, ""]
    weight: Float[Tensor, ""]


def weighted_nll(
    logprobs: Float[Tensor, "batch seq"], loss_weights: Float[Tensor, "batch seq"]
) -> WeightedSum:
    """Negative log-likelihood of the weighted tokens (CFT paper, eq. 8).

    A weight of 0 takes a token out of the sum and of the denominator: that is all that critical-token
    fine-tuning is. Weights of 1 everywhere give plain SFT.
    """
    return WeightedSum(loss=-(loss_weights * logprobs).sum(), weight=loss_weights.sum())


def next_token_weights(loss_weights: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq-1"]:
    """The weights of the tokens that are predicted: the one place where the next-token shift happens."""
    return loss_weights[:, 1:]
