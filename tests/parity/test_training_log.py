"""What the log says of tokens with and without a weight, and that saying it changes nothing."""

import json

import pytest
import torch
from one_step import trainer_of
from random_models import ARCHITECTURES, make_model, words
from transformers import TrainerCallback

from cruxtune.errors import RecipeError
from cruxtune.recipe.training import LoraSection, TrainSection
from cruxtune.records import Example
from cruxtune.train import loggers
from cruxtune.train.finetune import finetune
from cruxtune.train.monitor import means, spread

EXAMPLES = [
    Example([5 + n, 6, 7, 8, 9, 10 + n, 11], [0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0], num_prompt_tokens=2)
    for n in range(8)
]
NAMES = {"entropy_weighted", "accuracy_weighted", "entropy_other", "accuracy_other"}


def model_of(**others):
    return make_model(*ARCHITECTURES["qwen2"][:2], **others)


def lines_of(directory, **settings) -> list[dict]:
    chosen = {"num_epochs": 6, "batch_size": 4, "micro_batch_size": 2, "learning_rate": 1e-3} | settings
    finetune(model_of(), words(), EXAMPLES, TrainSection(**chosen), 0, directory)
    return [json.loads(line) for line in (directory / "steps.jsonl").read_text().splitlines()]


def plainly_measured(examples: list[Example]) -> dict[str, float]:
    model, found = model_of(), {name: [] for name in NAMES}
    for example in examples:
        logprobs = model(torch.tensor([example.input_ids])).logits[0].detach().log_softmax(-1)
        for position in range(example.num_prompt_tokens, len(example.input_ids)):
            before = logprobs[position - 1]
            kind = "weighted" if example.loss_weights[position] else "other"
            found[f"entropy_{kind}"].append(-float((before.exp() * before).sum()))
            found[f"accuracy_{kind}"].append(float(before.argmax() == example.input_ids[position]))
    return {name: sum(values) / len(values) for name, values in found.items()}


def test_the_first_measurement_is_of_the_base_model(tmp_path):
    first = lines_of(tmp_path)[0]
    assert {name: first[name] for name in NAMES} == pytest.approx(plainly_measured(EXAMPLES[::2]), rel=1e-4)


def test_every_step_has_a_line_and_every_fifth_a_measurement(tmp_path):
    lines = lines_of(tmp_path, monitor_every=5)
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["step"] for line in lines if line.keys() >= NAMES] == [1, 6, 11]
    assert lines[10]["entropy_weighted"] != lines[0]["entropy_weighted"]


def test_a_step_tells_of_its_tokens_however_it_is_cut_up(tmp_path):
    """Micro-batches of many weighted tokens, of one, and of none."""
    rows = [[1.0] * 5, [0.0] * 4 + [1.0], [0.0] * 5, [1.0] * 3 + [0.0] * 2]
    examples = [Example(e.input_ids, [0.0, 0.0, *row], 2) for e, row in zip(EXAMPLES, rows, strict=False)]
    told = []
    for size in (1, 2, 4):
        trainer = trainer_of(model_of(), examples, tmp_path / str(size), micro_batch_size=size)
        trainer.train()
        told.append([trainer.state.log_history[0][name] for name in ("entropy", "mean_token_accuracy")])
    expected = plainly_measured(examples)
    assert told[2] == pytest.approx([expected["entropy_weighted"], expected["accuracy_weighted"]], rel=1e-4)
    assert told[0] == pytest.approx(told[2], rel=1e-4) and told[1] == pytest.approx(told[2], rel=1e-4)


@pytest.mark.parametrize("objective", ["weighted", "eaft"])
def test_measuring_changes_nothing(tmp_path, objective):
    settings = {"objective": objective, "lora": LoraSection(r=2, alpha=4, dropout=0.5)}
    lines_of(tmp_path / "measured", monitor_every=1, **settings)
    lines_of(tmp_path / "not", monitor_every=0, **settings)
    found = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("measured", "not")]
    assert found[0] == found[1]


def test_the_trainer_hands_measurements_to_every_logger(tmp_path):
    seen: list[set[str]] = []

    class Logger(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            seen.append(set(logs))

    trainer = trainer_of(model_of(), EXAMPLES, tmp_path, monitor_every=1)
    trainer.add_callback(Logger())
    trainer.train()
    assert seen[0] >= NAMES


def test_tensorboard_has_what_the_lines_have(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines = lines_of(tmp_path, report_to=("tensorboard",), monitor_every=5)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name in ("loss", "learning_rate", *NAMES):
        written = {line["step"]: line[name] for line in lines if name in line}
        (tag,) = [tag for tag in events.Tags()["scalars"] if tag in (name, f"train/{name}")]
        assert {event.step: event.value for event in events.Scalars(tag)} == pytest.approx(written, rel=1e-5)
        assert len(written) == (3 if name in NAMES else 12)


def test_a_run_that_begins_anew_has_its_own_events_only(tmp_path):
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events.out.tfevents.old").write_bytes(b"")
    lines_of(tmp_path, report_to=("tensorboard",), num_epochs=1)
    (event_file,) = (tmp_path / "tensorboard").iterdir()
    assert not event_file.name.endswith("old")


def test_a_logger_that_is_not_installed_is_named_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "get_available_reporting_integrations", lambda: ["wandb"])
    with pytest.raises(RecipeError, match="not installed here: pip install tensorboard, or leave it out"):
        lines_of(tmp_path, report_to=("wandb", "tensorboard"))
    assert not (tmp_path / "steps.jsonl").exists()


def test_means_leave_out_what_there_is_none_of():
    entropy, is_top1 = torch.tensor([1.0, 3.0]), torch.tensor([True, False])
    assert means(entropy, is_top1, torch.tensor([True, True])) == {
        "entropy_weighted": 2.0,
        "accuracy_weighted": 0.5,
    }


def test_a_sample_is_spread_evenly():
    assert [example.input_ids[0] for example in spread(EXAMPLES, 4)] == [5, 7, 9, 11]
    assert spread(EXAMPLES[:2], 4) == EXAMPLES[:2]
