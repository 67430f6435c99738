"""Every objective and normaliser in the real trainer against a formula written again, on full logits."""

import dataclasses

import pytest
from datasets import Dataset
from one_step import (
    SCALES,
    WEIGHTS,
    assert_same,
    plain_loss,
    plain_step,
    real_step,
    some_examples,
    trainer_of,
)
from random_models import ARCHITECTURES, make_model, words
from trl import SFTTrainer

from cruxtune.records import Example


def model_of():
    return make_model(*ARCHITECTURES["qwen2"][:2])


@pytest.mark.parametrize("micro_batch_size", [1, 2, 8])
@pytest.mark.parametrize("objective", SCALES)
def test_objectives_equal_their_formulas(tmp_path, objective, micro_batch_size):
    examples = some_examples(weights=WEIGHTS)
    trainer = trainer_of(
        model_of(), examples, tmp_path, objective=objective, micro_batch_size=micro_batch_size
    )
    assert_same(real_step(trainer), plain_step(model_of(), examples, SCALES[objective]), atol=1e-5)


def test_the_objectives_differ(tmp_path):
    examples = some_examples()
    losses = [
        real_step(trainer_of(model_of(), examples, tmp_path / name, objective=name))[0] for name in SCALES
    ]
    assert losses[0] > 1.1 * losses[2] > 1.1 * losses[1] > 0


@pytest.mark.parametrize(("micro_batch_size", "padding_free"), [(1, False), (2, True), (8, False)])
def test_each_sequence_counts_the_same(tmp_path, micro_batch_size, padding_free):
    examples = [*some_examples(7, WEIGHTS), Example([5, 6, 7], [0.0, 0.0, 0.0])]
    settings = {"micro_batch_size": micro_batch_size, "padding_free": padding_free}
    found = real_step(trainer_of(model_of(), examples, tmp_path, normaliser="sequence", **settings))
    each = [float(plain_loss(model_of(), [example]).detach()) for example in examples[:7]]
    assert found[0] == pytest.approx(sum(each) / 7, rel=1e-5)


@pytest.mark.parametrize(("micro_batch_size", "batch_size"), [(1, 4), (2, 2), (2, 4)])
def test_the_steps_of_an_epoch_average_to_the_loss_of_the_set(tmp_path, micro_batch_size, batch_size):
    examples = some_examples(weights=WEIGHTS)
    settings = {"batch_size": batch_size, "micro_batch_size": micro_batch_size, "learning_rate": 1e-12}
    trainer = trainer_of(model_of(), examples, tmp_path, normaliser="set", **settings)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 8 // batch_size and len(set(losses)) > 1
    assert sum(losses) / len(losses) == pytest.approx(
        float(plain_loss(model_of(), examples).detach()), rel=1e-4
    )


def test_dft_is_that_of_trl(tmp_path):
    examples = some_examples()
    rows = [
        {
            "input_ids": e.input_ids,
            "labels": [
                token if weight else -100 for token, weight in zip(e.input_ids, e.loss_weights, strict=True)
            ],
        }
        for e in examples
    ]
    ours = trainer_of(model_of(), examples, tmp_path / "ours", objective="dft", micro_batch_size=4)
    arguments = dataclasses.replace(ours.args, loss_type="dft", output_dir=str(tmp_path / "trl"))
    theirs = SFTTrainer(
        model_of(), arguments, train_dataset=Dataset.from_list(rows), processing_class=words()
    )
    assert_same(real_step(ours), real_step(theirs), atol=1e-5)
