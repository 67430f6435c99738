"""What a model makes of each token of a completion: attention received, log-probability, entropy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from cruxtune.errors import ModelError
from cruxtune.records import TokenIds

Statistic = Callable[[PreTrainedModel, TokenIds, TokenIds], Float[np.ndarray, " completion"]]


@torch.inference_mode()
def token_logprobs(
    model: PreTrainedModel, prompt_ids: TokenIds, completion_ids: TokenIds
) -> Float[np.ndarray, " completion"]:
    """The log-probability of each token, given all before it."""
    ids = torch.tensor([prompt_ids + completion_ids], device=model.device)
    logits = model(ids, use_cache=False).logits[0, len(prompt_ids) - 1 : -1].float()
    logprobs = logits.log_softmax(-1).gather(1, ids[0, len(prompt_ids) :, None])
    return logprobs[:, 0].cpu().numpy()


@torch.inference_mode()
def token_entropies(
    model: PreTrainedModel, prompt_ids: TokenIds, completion_ids: TokenIds
) -> Float[np.ndarray, " completion"]:
    """The entropy of the distribution that each token is drawn from, in nats."""
    ids = torch.tensor([prompt_ids + completion_ids], device=model.device)
    logprobs = model(ids, use_cache=False).logits[0, len(prompt_ids) - 1 : -1].float().log_softmax(-1)
    return -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1).cpu().numpy()


@torch.inference_mode()
def attention_received(
    model: PreTrainedModel, prompt_ids: TokenIds, completion_ids: TokenIds
) -> Float[np.ndarray, " completion"]:
    """The attention that each token gets from the later ones: the mean over these, over heads and layers.

    Later ones of the completion are meant; the last token has none: 0. No more than one layer's attention is
    ever kept. The model must be loaded with `attn_implementation="eager"`.
    """
    ids = torch.tensor([prompt_ids + completion_ids], device=model.device)
    total = Received(len(prompt_ids), ids.shape[1], model.device)
    with total.watching(model):
        model.base_model(ids, use_cache=False)
    total.require_layers(model.config.get_text_config().num_hidden_layers)
    return total.mean().cpu().numpy()


class Received:
    """Adds up what every layer's attention gives to the tokens from `start` on."""

    def __init__(self, start: int, num_tokens: int, device: torch.device) -> None:
        self._start = start
        self._num_tokens = num_tokens
        self._sum = torch.zeros(num_tokens - start, device=device)
        self._num_layers = 0

    @contextmanager
    def watching(self, model: PreTrainedModel) -> Iterator[None]:
        """Take the weights of every attention module as it returns them."""
        modules = [module for module in model.modules() if type(module).__name__.endswith("Attention")]
        hooks = [module.register_forward_hook(self._take) for module in modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def require_layers(self, num_layers: int) -> None:
        """Refuse a model some of whose layers gave no weights."""
        if self._num_layers != num_layers:
            raise ModelError(
                f"{self._num_layers} of {num_layers} layers of this model give attention weights: "
                "selections by attention need them of all"
            )

    def mean(self) -> Float[Tensor, " completion"]:
        """Over layers and over the tokens that come later."""
        num_later = torch.arange(len(self._sum) - 1, -1, -1, device=self._sum.device)
        return self._sum / self._num_layers / num_later.clamp(min=1)

    def _take(self, module: Any, inputs: Any, output: Any) -> Any:
        """Count one layer's weights, and let go of them."""
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if weights is None or weights.shape[-2:] != (self._num_tokens, self._num_tokens):
            return None
        own = weights[0, :, self._start :, self._start :].float().mean(0)
        self._sum += own.tril(-1).sum(0)
        self._num_layers += 1
        return (output[0], None, *output[2:])
