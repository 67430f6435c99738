"""The weighted trainer against transformers' own loss, in losses and gradients, on a small random model."""

import copy
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from random_models import words
from safetensors.torch import load_file
from transformers import Qwen2Config, Qwen2ForCausalLM, TrainerCallback

from cruxtune.recipe.sections import LoraSection, TrainSection
from cruxtune.records import Example
from cruxtune.train.batching import PaddedCollator, PaddingFreeCollator
from cruxtune.train.finetune import finetune, make_trainer

VOCABULARY = 50
WEIGHTS = (0.0, 0.25, 1.0, 2.0)


class StopAt(TrainerCallback):
    """Ends a run early, as a killed process would, after the checkpoint of an earlier step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


def small_model(seed: int = 0) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )


def some_examples(num_examples: int = 8, weights: tuple[float, ...] = (0.0, 1.0)) -> list[Example]:
    rng = random.Random(0)
    examples = []
    for _ in range(num_examples):
        length = rng.randint(6, 20)
        prompt = rng.randint(1, 4)
        ids = [rng.randrange(2, VOCABULARY) for _ in range(length)]
        examples.append(Example(ids, [0.0] * prompt + [rng.choice(weights) for _ in range(length - prompt)]))
    return examples


def gradients_of_one_step(examples, tokenizer, tmp_path, **settings) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss that the real trainer logs for its first step, and the gradients that it stepped with."""
    model = small_model()
    section = TrainSection(num_epochs=1, batch_size=len(examples), learning_rate=1e-3, **settings)
    caught: dict[str, torch.Tensor] = {}

    trainer = make_trainer(model, tokenizer, examples, section, 0, tmp_path / "run")
    original = trainer.create_optimizer

    def create_optimizer(*args, **kwargs):
        optimizer = original(*args, **kwargs)
        optimizer.register_step_pre_hook(
            lambda *_: caught.update(
                {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            )
        )
        return optimizer

    trainer.create_optimizer = create_optimizer
    trainer.args.max_grad_norm = 0.0
    trainer.train()
    return trainer.state.log_history[0]["loss"], caught


def transformers_loss(examples: list[Example]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """transformers' own cross-entropy over all rows at once, with labels of -100 where the weight is 0."""
    model = small_model()
    batch = PaddedCollator(0)([{"input_ids": e.input_ids, "loss_weights": e.loss_weights} for e in examples])
    labels = torch.where(batch["loss_weights"] == 0, -100, batch["input_ids"])
    loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def plain_weighted_loss(examples: list[Example]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """sum(w·nll)/sum(w), one example at a time and from full logits."""
    model = small_model()
    total = torch.zeros(())
    for example in examples:
        ids = torch.tensor(example.input_ids)
        logprobs = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        for position in range(1, len(ids)):
            total = total - example.loss_weights[position] * logprobs[position - 1, ids[position]]
    loss = total / sum(weight for example in examples for weight in example.loss_weights[1:])
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found: tuple, expected: tuple) -> None:
    assert found[0] == pytest.approx(float(expected[0]), rel=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(
            found[1][name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("micro_batch_size", [1, 2, 4, 8])
@pytest.mark.parametrize("padding_free", [False, True])
def test_weights_of_0_and_1_equal_transformers_with_ignored_labels(tmp_path, micro_batch_size, padding_free):
    examples = some_examples()
    found = gradients_of_one_step(
        examples,
        words(VOCABULARY),
        tmp_path,
        micro_batch_size=micro_batch_size,
        padding_free=padding_free,
    )
    assert_same(found, transformers_loss(examples))


@pytest.mark.parametrize("micro_batch_size", [1, 8])
def test_float_weights_equal_the_plain_sum(tmp_path, micro_batch_size):
    examples = some_examples(weights=WEIGHTS)
    found = gradients_of_one_step(examples, words(VOCABULARY), tmp_path, micro_batch_size=micro_batch_size)
    assert_same(found, plain_weighted_loss(examples))


def test_a_changed_weight_changes_the_gradient(tmp_path):
    examples = some_examples()
    changed = copy.deepcopy(examples)
    changed[0].loss_weights[-1] = 1.0 - changed[0].loss_weights[-1]
    found = gradients_of_one_step(changed, words(VOCABULARY), tmp_path, micro_batch_size=8)
    with pytest.raises(AssertionError):
        assert_same(found, transformers_loss(examples))


def test_scaling_all_weights_changes_nothing(tmp_path):
    examples = some_examples(weights=(0.0, 1.0, 2.0))
    scaled = [Example(e.input_ids, [3.0 * weight for weight in e.loss_weights]) for e in examples]
    tokenizer = words(VOCABULARY)
    first = gradients_of_one_step(examples, tokenizer, tmp_path / "a", micro_batch_size=4)
    second = gradients_of_one_step(scaled, tokenizer, tmp_path / "b", micro_batch_size=4)
    assert_same(first, second)


def test_a_step_without_any_weight_leaves_the_model_as_it_is(tmp_path):
    examples = some_examples(4)
    empty = [Example(e.input_ids, [0.0] * len(e.input_ids)) for e in examples]
    _, gradients = gradients_of_one_step(empty, words(VOCABULARY), tmp_path, micro_batch_size=2)
    assert all(torch.count_nonzero(gradient) == 0 for gradient in gradients.values())


def test_padding_free_rows_weigh_what_padded_rows_weigh():
    features = [{"input_ids": e.input_ids, "loss_weights": e.loss_weights} for e in some_examples()]
    padded, joined = PaddedCollator(0)(features), PaddingFreeCollator()(features)
    assert padded["loss_weights"][:, 1:].sum() == joined["loss_weights"].sum()
    assert (joined["labels"] != -100).sum() == (joined["loss_weights"] != 0).sum()


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    examples, tokenizer = some_examples(), words(VOCABULARY)
    section = TrainSection(num_epochs=3, batch_size=2, micro_batch_size=2, learning_rate=1e-3, save_every=2)
    finetune(small_model(), tokenizer, examples, section, 0, tmp_path / "whole")

    stopped = make_trainer(small_model(), tokenizer, examples, section, 0, tmp_path / "torn" / "checkpoints")
    stopped.args.max_steps = -1
    stopped.add_callback(StopAt(5))
    stopped.train()
    half_written = tmp_path / "torn" / "checkpoints" / "checkpoint-99"
    half_written.mkdir()
    finetune(small_model(), tokenizer, examples, section, 0, tmp_path / "torn")

    for name in ("model/model.safetensors", "log.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "torn" / name).read_bytes()


def test_lora_trains_and_is_merged_into_a_plain_checkpoint(tmp_path):
    section = TrainSection(
        num_epochs=1, batch_size=4, micro_batch_size=4, learning_rate=1e-2, lora=LoraSection(r=2, alpha=4)
    )
    finetune(small_model(), words(VOCABULARY), some_examples(), section, 0, tmp_path / "run")
    trained = Qwen2ForCausalLM.from_pretrained(tmp_path / "run" / "model")
    base = small_model().state_dict()
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, base[name])}
    assert changed and all("proj" in name for name in changed)


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    for count in (1, 2):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                f"--nproc_per_node={count}",
                "two_processes.py",
                str(tmp_path / str(count)),
            ],
            cwd=Path(__file__).parent,
            check=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    one, two = (json.loads((tmp_path / count / "log.json").read_text()) for count in ("1", "2"))
    assert [entry["loss"] for entry in two] == pytest.approx([entry["loss"] for entry in one], rel=1e-3)
    weights = [load_file(tmp_path / count / "model" / "model.safetensors") for count in ("1", "2")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5)
