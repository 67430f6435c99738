"""Log-probabilities of the tokens that have a weight: the language-model head runs there and nowhere else."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from cruxtune.train.batching import Targets
from cruxtune.train.objective import TokenScores, scores_of

logger = logging.getLogger(__name__)
PROBE = 8
"""Tokens on which the two ways to score are compared."""
TOLERANCE = 1e-3
"""Of log-probabilities in float32."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Runs a model and scores the targets of a batch."""

    model: PreTrainedModel
    in_tiles: bool
    """By trl's fused head, which never holds all logits at once; else by the model's own forward, with the
    logits of the targets only."""
    with_top_entropy: bool = False
    """Only possible with logits."""

    def __call__(self, wrapped: nn.Module, inputs: dict[str, Tensor], targets: Targets) -> TokenScores:
        """`wrapped` is the model as the trainer calls it: inside an adapter, or one of several processes."""
        with hands_on_only(self.model.base_model, targets.positions):
            if self.in_tiles and not self.with_top_entropy:
                return _in_tiles(wrapped, inputs, targets.ids)
            logits = wrapped(**inputs, use_cache=False).logits
        if logits.shape[:2] != (1, len(targets.ids)):  # no hidden states to choose from
            logits = logits.flatten(0, 1)[targets.positions][None]
        return scores_of(logits[0], targets.ids, self.with_top_entropy)


def can_use_tiles(model: PreTrainedModel, is_sharded: bool = False) -> bool:
    """Whether the head is a plain linear layer, and tiles give what the model's own forward gives."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:
        return _refuse(f"its head is a {type(head).__name__}, not a plain linear layer")
    if model.base_model is model:
        return _refuse("it has no backbone apart from its head")
    if is_sharded or _agree(model):  # a sharded model can't be tried out before training
        return True
    return _refuse("in tiles its head gives other log-probabilities")


@contextmanager
def hands_on_only(backbone: nn.Module, positions: Int[Tensor, "tokens"]) -> Iterator[None]:
    """While open, the backbone's output holds the hidden states at these positions, as one row."""

    def keep(module: nn.Module, args: Any, output: Any) -> Any:
        if getattr(output, "last_hidden_state", None) is not None:
            hidden = output.last_hidden_state.flatten(0, 1)
            output.last_hidden_state = hidden.index_select(0, positions)[None]
        return output

    handle = backbone.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def _in_tiles(wrapped: nn.Module, inputs: dict[str, Tensor], ids: Int[Tensor, "tokens"]) -> TokenScores:
    outputs = wrapped(**inputs, use_cache=False, fused_lm_head=True, shift_labels=ids[None])
    return TokenScores(outputs.log_probs[0], outputs.entropy[0].detach(), outputs.is_top1[0])


def _agree(model: PreTrainedModel) -> bool:
    """Whether tiles give what the model's own forward gives, scaled and capped as its architecture does."""
    head: nn.Linear = model.get_output_embeddings()
    ids = torch.arange(min(PROBE, head.weight.shape[0]), device=head.weight.device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        plain = scores_of(model(ids[None], use_cache=False).logits[0], ids)
        tiled = _in_tiles(model, {"input_ids": ids[None]}, ids)
    model.train(was_training)
    return torch.allclose(plain.logprobs, tiled.logprobs, atol=TOLERANCE, rtol=TOLERANCE)


def _refuse(reason: str) -> bool:
    logger.warning(
        "the logits of all weighted tokens are held at once (%s): training takes more memory", reason
    )
    return False
