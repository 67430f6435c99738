"""A model's linear layers by oneDNN, on processors where torch's own products reach half of its rate."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel


class Products:
    """Which layers of a model they are."""

    def __init__(self, model: PreTrainedModel) -> None:
        plain = [layer for layer in model.modules() if type(layer) is nn.Linear]
        self._forward_of = {layer: partial(_multiply, layer) for layer in plain if has_onednn()}

    @contextmanager
    def by_onednn(self) -> Iterator[None]:
        """Within, the layers are computed by oneDNN; gradients are not."""
        before = {layer: vars(layer).get("forward") for layer in self._forward_of}
        for layer, forward in self._forward_of.items():
            vars(layer)["forward"] = forward
        try:
            yield
        finally:
            for layer, own in before.items():
                vars(layer)["forward"] = own
                if own is None:
                    del vars(layer)["forward"]


@cache
def has_onednn() -> bool:
    """Whether oneDNN is there, and gives what torch's own products give but for rounding."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    one, other = torch.linspace(-1, 1, 96).reshape(3, 32), torch.linspace(1, -2, 160).reshape(5, 32)
    try:
        found = _onednn(one, other, None)
    except (AttributeError, RuntimeError):  # not a public function: it may go
        return False
    return torch.allclose(found, linear(one, other), rtol=1e-5, atol=1e-5)


def _multiply(layer: nn.Linear, inputs: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
    """Where oneDNN fails, torch is asked, which says so if memory is what is missing."""
    try:
        return _onednn(inputs, layer.weight, layer.bias)
    except RuntimeError:
        return linear(inputs, layer.weight, layer.bias)


def _onednn(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return product
