"""The head runs on weighted tokens only, and the loss and gradients are those of all logits."""

import logging

import pytest
import torch
from one_step import SCALES, WEIGHTS, assert_same, plain_step, real_step, some_examples, trainer_of
from random_models import ARCHITECTURES, make_model
from torch import nn
from transformers import (
    Cohere2Config,
    Cohere2ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
)

from cruxtune.errors import RecipeError
from cruxtune.recipe.training import LoraSection
from cruxtune.records import Example

SCALED = {
    "softcap": (Gemma2Config, Gemma2ForCausalLM, {"final_logit_softcapping": 3.0, "head_dim": 8}),
    "scale": (Cohere2Config, Cohere2ForCausalLM, {"logit_scale": 0.25}),
    "divisor": (GraniteConfig, GraniteForCausalLM, {"logits_scaling": 4.0}),
}
"""Architectures that do something to the logits."""
EXAMPLES = [
    *some_examples(6, WEIGHTS),
    Example([5, 6, 7, 8], [0.0] * 4),
    Example([9, 3, 4, 5, 6, 7], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]),
]
"""With a row that nothing is selected in, and one that ends long after its last weighted token."""


def model_of(name: str, **others):
    config_type, model_type, own = (ARCHITECTURES | SCALED)[name]
    return make_model(config_type, model_type, **own, **others)


def randomise_adapters(model) -> None:
    """peft begins with adapters that change nothing."""
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3)


def widths_of_the_head(trainer) -> list[int]:
    """Filled, while the trainer runs, with how many hidden states each batch's backbone hands on."""
    widths: list[int] = []
    model = trainer.accelerator.unwrap_model(trainer.model)
    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    forward = core.forward

    def counting(*args, **kwargs):
        if "shift_labels" in kwargs:
            widths.append(kwargs["shift_labels"].shape[1])
        return forward(*args, **kwargs)

    core.forward = counting
    core.get_output_embeddings().register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[1]))
    return widths


@pytest.mark.parametrize("padding_free", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_loss_and_gradients_are_those_of_all_logits(tmp_path, name, padding_free):
    trainer = trainer_of(model_of(name), EXAMPLES, tmp_path, padding_free=padding_free, micro_batch_size=4)
    assert_same(real_step(trainer), plain_step(model_of(name), EXAMPLES), atol=1e-5)


@pytest.mark.parametrize("objective", ["weighted", "eaft"])
def test_the_head_sees_only_weighted_tokens(tmp_path, objective):
    trainer = trainer_of(model_of("qwen2"), EXAMPLES, tmp_path, objective=objective)
    widths = widths_of_the_head(trainer)
    trainer.train()
    assert widths == [sum(weight > 0 for example in EXAMPLES for weight in example.loss_weights)]


@pytest.mark.parametrize("objective", ["weighted", "eaft"])
@pytest.mark.parametrize("name", SCALED)
def test_what_an_architecture_does_to_its_logits_is_done(tmp_path, name, objective, caplog):
    trainer = trainer_of(model_of(name), EXAMPLES, tmp_path, objective=objective)
    assert_same(real_step(trainer), plain_step(model_of(name), EXAMPLES, SCALES[objective]), atol=1e-5)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("targets", "in_tiles"),
    [("all-linear", True), (("q_proj", "embed_tokens"), True), (("q_proj", "lm_head"), False)],
)
def test_adapters_are_trained_wherever_they_are(tmp_path, targets, in_tiles, caplog):
    lora = LoraSection(r=2, alpha=4, target_modules=targets)
    trainer = trainer_of(model_of("llama"), EXAMPLES, tmp_path, lora=lora, micro_batch_size=4)
    randomise_adapters(trainer.model)
    expected = plain_step(trainer.model, EXAMPLES)
    found = real_step(trainer)
    assert_same(found, expected, atol=1e-5)
    assert all("lora_" in key for key in found[1]) and any("lm_head" in key for key in found[1]) != in_tiles
    assert ("held at once" in caplog.text) != in_tiles


def test_adapters_under_a_head_that_shares_the_embeddings(tmp_path):
    trainer = trainer_of(
        model_of("llama", tie_word_embeddings=True), EXAMPLES, tmp_path, lora=LoraSection(r=2, alpha=4)
    )
    randomise_adapters(trainer.model)
    expected = plain_step(trainer.model, EXAMPLES)
    assert_same(real_step(trainer), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["embed_tokens", "lm_head"])
def test_an_adapter_on_shared_embeddings_is_refused(tmp_path, name):
    lora = LoraSection(r=2, alpha=4, target_modules=("q_proj", name))
    with pytest.raises(RecipeError, match=rf"names \['{name}'\], but embeddings and head share"):
        trainer_of(model_of("llama", tie_word_embeddings=True), EXAMPLES, tmp_path, lora=lora)


def test_a_head_that_is_no_linear_layer_runs_as_it_is(tmp_path, caplog):
    def odd():
        model = model_of("qwen2")
        model.lm_head = nn.Sequential(model.lm_head, nn.Tanh())
        return model

    with caplog.at_level(logging.WARNING):
        trainer = trainer_of(odd(), EXAMPLES, tmp_path)
    assert "its head is a Sequential" in caplog.text
    widths = widths_of_the_head(trainer)
    assert_same(real_step(trainer), plain_step(odd(), EXAMPLES), atol=1e-5)
    assert len(widths) == 1


def test_a_model_without_a_backbone_of_its_own_runs_as_it_is(tmp_path, caplog):
    def odd():
        model = model_of("qwen2")
        model.base_model_prefix = "nothing"
        return model

    trainer = trainer_of(odd(), EXAMPLES, tmp_path)
    assert "no backbone apart from its head" in caplog.text
    assert_same(real_step(trainer), plain_step(odd(), EXAMPLES), atol=1e-5)


def test_a_head_whose_output_is_changed_is_found_out(tmp_path, caplog):
    class Doubled(type(model_of("qwen2"))):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = 2 * output.logits
            return output

    def odd():
        model = model_of("qwen2")
        model.__class__ = Doubled
        return model

    trainer = trainer_of(odd(), EXAMPLES, tmp_path)
    assert "other log-probabilities" in caplog.text
    assert_same(real_step(trainer), plain_step(odd(), EXAMPLES), atol=1e-5)


@pytest.mark.parametrize("lora", [None, LoraSection(r=2, alpha=4)])
def test_gradient_checkpointing_changes_nothing(tmp_path, lora):
    plain, saving = (
        trainer_of(model_of("qwen3"), EXAMPLES, tmp_path / str(on), lora=lora, gradient_checkpointing=on)
        for on in (False, True)
    )
    assert_same(real_step(saving), real_step(plain))


def test_bfloat16_comes_close(tmp_path):
    found, exact = (
        real_step(trainer_of(model_of("llama"), EXAMPLES, tmp_path / str(on), bf16=on))
        for on in (True, False)
    )
    assert found[0] != exact[0]
    assert found[0] == pytest.approx(exact[0], rel=0.03)
    a, b = (torch.cat([gradient.flatten() for gradient in step[1].values()]) for step in (found, exact))
    assert torch.cosine_similarity(a, b, dim=0) > 0.97
