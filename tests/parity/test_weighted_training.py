"""The weighted trainer against transformers' own loss, in losses and gradients, on a small random model."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from one_step import (
    WEIGHTS,
    Step,
    assert_same,
    gradients,
    plain_step,
    real_step,
    some_examples,
    trainer_of,
)
from random_models import words
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2Config, Qwen2ForCausalLM, TrainerCallback

from cruxtune.recipe.training import LoraSection, TrainSection
from cruxtune.records import Example
from cruxtune.train.finetune import finetune, make_trainer

VOCABULARY = 50


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


def one_step(examples, tmp_path, **settings) -> Step:
    return real_step(trainer_of(small_model(), examples, tmp_path / "run", **settings))


def transformers_step(examples: list[Example]) -> Step:
    """transformers' own cross-entropy over all rows at once, with labels of -100 where the weight is 0."""
    model = small_model()
    ids, weights = (
        pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        for rows in ([e.input_ids for e in examples], [e.loss_weights for e in examples])
    )
    mask = pad_sequence([torch.ones(len(e.input_ids), dtype=torch.long) for e in examples], batch_first=True)
    loss = model(input_ids=ids, attention_mask=mask, labels=torch.where(weights == 0, -100, ids)).loss
    loss.backward()
    return float(loss.detach()), gradients(model)


@pytest.mark.parametrize("micro_batch_size", [1, 2, 4, 8])
@pytest.mark.parametrize("padding_free", [False, True])
def test_weights_of_0_and_1_equal_transformers_with_ignored_labels(tmp_path, micro_batch_size, padding_free):
    examples = some_examples()
    found = one_step(examples, tmp_path, micro_batch_size=micro_batch_size, padding_free=padding_free)
    assert_same(found, transformers_step(examples))


@pytest.mark.parametrize("micro_batch_size", [1, 8])
def test_float_weights_equal_the_plain_sum(tmp_path, micro_batch_size):
    examples = some_examples(weights=WEIGHTS)
    found = one_step(examples, tmp_path, micro_batch_size=micro_batch_size)
    assert_same(found, plain_step(small_model(), examples))


def test_a_changed_weight_changes_the_gradient(tmp_path):
    examples = some_examples()
    changed = copy.deepcopy(examples)
    changed[0].loss_weights[-1] = 1.0 - changed[0].loss_weights[-1]
    found = one_step(changed, tmp_path)
    with pytest.raises(AssertionError):
        assert_same(found, transformers_step(examples))


def test_scaling_all_weights_changes_nothing(tmp_path):
    examples = some_examples(weights=(0.0, 1.0, 2.0))
    scaled = [Example(e.input_ids, [3.0 * weight for weight in e.loss_weights]) for e in examples]
    first = one_step(examples, tmp_path / "a", micro_batch_size=4)
    second = one_step(scaled, tmp_path / "b", micro_batch_size=4)
    assert_same(first, second)


def test_a_step_without_any_weight_leaves_the_model_as_it_is(tmp_path):
    examples = some_examples(4, vocabulary=VOCABULARY)
    empty = [Example(e.input_ids, [0.0] * len(e.input_ids)) for e in examples]
    loss, found = one_step(empty, tmp_path, micro_batch_size=2)
    assert loss == 0 and len(found) > 10
    assert all(torch.count_nonzero(gradient) == 0 for gradient in found.values())


@pytest.mark.parametrize(
    "settings",
    [
        {"micro_batch_size": 2},
        {"micro_batch_size": 1, "padding_free": True, "objective": "dft", "normaliser": "set"},
        {"micro_batch_size": 2, "objective": "eaft", "lora": LoraSection(r=2, alpha=4, dropout=0.5)},
    ],
)
def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, settings):
    examples, tokenizer = some_examples(), words(VOCABULARY)
    section = TrainSection(num_epochs=3, batch_size=2, learning_rate=1e-3, save_every=2, **settings)
    finetune(small_model(), tokenizer, examples, section, 0, tmp_path / "whole")

    stopped = make_trainer(small_model(), tokenizer, examples, section, 0, tmp_path / "torn" / "checkpoints")
    stopped.args.max_steps = -1
    stopped.add_callback(StopAt(5))
    stopped.train()
    half_written = tmp_path / "torn" / "checkpoints" / "checkpoint-99"
    half_written.mkdir()
    finetune(small_model(), tokenizer, examples, section, 0, tmp_path / "torn")

    for name in ("model/model.safetensors", "steps.jsonl"):
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
    for run in sorted(path.name for path in (tmp_path / "1").iterdir()):
        logs = [(tmp_path / count / run / "steps.jsonl").read_text().splitlines() for count in ("1", "2")]
        losses, entropies = (
            [[json.loads(line)[name] for line in log] for log in logs] for name in ("loss", "entropy")
        )
        assert entropies[1] == pytest.approx(entropies[0], rel=1e-5)
        assert losses[1] == pytest.approx(losses[0], rel=1e-3) and len(losses[0]) == 4, run
        weights = [load_file(tmp_path / count / run / "model" / "model.safetensors") for count in ("1", "2")]
        for name, value in weights[0].items():
            torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5)
