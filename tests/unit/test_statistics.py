"""Attention and log-probabilities: by hand where attention is even, by transformers' outputs elsewhere."""

import gc

import numpy as np
import pytest
import torch

from cruxtune.engines.loading import load_model
from cruxtune.engines.reference import inspect_logits
from cruxtune.engines.statistics import attention_received, token_logprobs
from cruxtune.errors import ModelError
from cruxtune.models import find_model

PROMPT, COMPLETION = [3, 14, 15], [9, 26, 5, 35, 8]


@pytest.fixture
def model(tiny_files):
    return load_model(find_model(str(tiny_files)), device="cpu", attn_implementation="eager")


def test_even_attention_gives_what_a_hand_gives(model):
    for layer in model.base_model.layers:
        layer.self_attn.q_proj.weight.data.zero_()
        layer.self_attn.q_proj.bias.data.zero_()
    # the token at place i of the whole text gives 1 / (i + 1) to each of those up to itself
    given = [1 / 4, 1 / 5, 1 / 6, 1 / 7, 1 / 8]
    expected = [sum(given[j + 1 :]) / (4 - j) for j in range(4)] + [0.0]
    assert attention_received(model, PROMPT, COMPLETION) == pytest.approx(expected, rel=1e-5)


def test_attention_is_the_mean_over_heads_layers_and_later_tokens(model):
    ids = torch.tensor([PROMPT + COMPLETION])
    layers = model(ids, output_attentions=True).attentions
    mean = torch.stack(layers).mean(dim=(0, 2))[0, 3:, 3:]
    expected = [mean[j + 1 :, j].mean().item() for j in range(4)] + [0.0]
    assert attention_received(model, PROMPT, COMPLETION) == pytest.approx(expected, rel=1e-5)


def test_the_attention_of_one_layer_is_gone_before_the_next(model):
    num_heads, num_tokens = 4, len(PROMPT + COMPLETION)
    alive = []

    def count(*_):
        shapes = [thing.shape for thing in gc.get_objects() if type(thing) is torch.Tensor]
        alive.append(shapes.count((1, num_heads, num_tokens, num_tokens)))

    hooks = [layer.mlp.register_forward_hook(count) for layer in model.base_model.layers]
    attention_received(model, PROMPT, COMPLETION)
    for hook in hooks:
        hook.remove()
    assert alive == [0, 0]


def test_nothing_stays_on_the_model(model):
    attention_received(model, PROMPT, COMPLETION)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_hides_its_attention_is_refused(tiny_files):
    model = load_model(find_model(str(tiny_files)), device="cpu", attn_implementation="sdpa")
    with pytest.raises(ModelError, match="0 of 2 layers of this model give attention weights"):
        attention_received(model, PROMPT, COMPLETION)


def test_log_probabilities_are_those_of_an_inspection(model):
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT + COMPLETION])).logits[0, 2:-1]
    seen = inspect_logits(logits, torch.tensor(COMPLETION), 2)
    assert np.exp(token_logprobs(model, PROMPT, COMPLETION)) == pytest.approx(seen.token_probs, rel=1e-6)
