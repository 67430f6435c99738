"""Training in stages: methods that start from another one's checkpoint, and SFTKey's rewritten solutions."""

import json
import shutil
from dataclasses import replace
from math import nan

import pytest
from commands import artifacts, write_recipe
from safetensors.torch import load_file
from transformers import TrainerCallback

from cruxtune.engines.loading import load_both
from cruxtune.errors import ArtifactError, CruxtuneError, SelectionError
from cruxtune.models import ModelFiles, find_model, load_tokenizer
from cruxtune.recipe import load_recipe
from cruxtune.records import Problem, Solution, TokenWeights, Verdict
from cruxtune.stages import evaluate, lint, report, select, show, train
from cruxtune.stages.runs import run_of
from cruxtune.stages.train import examples_of
from cruxtune.stages.workspace import Workspace
from cruxtune.store import StageWriter, read_manifest, read_records
from cruxtune.train import finetune as finetuning
from cruxtune.verify import extract_answer

SFTKEY = (
    "select.tagged={type='tagged'}",
    "select.key={type='tagged', tokens='key'}",
    "train.methods={sftkey={selection='key', after='tagged', num_epochs=1}, "
    "slow={selection='key', after='tagged', learning_rate=1e-6}}",
    "train.selections=['sft', 'sftkey', 'slow']",
)
LATE = "train.methods.late.selection=sft"
LORA = "train.lora={r=2, alpha=64}"


@pytest.fixture
def small(finished, tmp_path):
    """Loads the recipe of a run that is through, with overrides, where it may be changed."""
    out = shutil.copytree(finished, tmp_path / "out", ignore=shutil.ignore_patterns("evaluate", "report"))
    path = write_recipe(tmp_path, out)
    return lambda *overrides: load_recipe(path, [*SFTKEY, *overrides])


def weights_of(recipe, run):
    return load_file(recipe.output_dir / "train" / run / "model" / "model.safetensors")


def changed_names(one, other):
    return {name for name, value in one.items() if not value.equal(other[name])}


class Interrupt(TrainerCallback):
    """A Ctrl-C after so many steps of the run that has so many."""

    def __init__(self, step, max_steps):
        self.step, self.max_steps = step, max_steps

    def on_save(self, args, state, control, **kwargs):
        if (state.global_step, state.max_steps) == (self.step, self.max_steps):
            raise KeyboardInterrupt


def test_rewritten_solutions_say_the_same_and_end_with_their_answer(small):
    recipe = small()
    select(recipe)
    out = recipe.output_dir
    tokenizer = load_tokenizer(find_model("tiny"))
    originals = {s.id: s for s in read_records(out / "solve", Solution)}
    problems = {p.id: p for p in read_records(out / "solve", Problem)}
    rewritten = list(read_records(out / "select" / "key", Solution))
    assert len(rewritten) == 3 and rewritten == list(read_records(out / "select" / "tagged", Solution))
    for solution, weights in zip(rewritten, read_records(out / "select" / "key", TokenWeights), strict=True):
        original, completion = originals[solution.id], solution.completion
        thinking, answer = completion.text.split("</Thinking>")
        assert thinking == " <Thinking>" + original.completion.text.strip()
        assert answer == f"<Answer>{original.grade.answer}</Answer>"
        assert extract_answer(completion.text) == extract_answer(original.completion.text)
        assert original.grade.verdict is Verdict.CORRECT and problems[solution.problem_id]
        assert tokenizer.decode(completion.token_ids, skip_special_tokens=True) == completion.text
        assert completion.token_ids[-1] == original.completion.token_ids[-1] == tokenizer.eos_token_id
        selected = [t for t, w in zip(completion.token_ids, weights.loss_weights, strict=True) if w]
        assert tokenizer.decode(selected) == answer + tokenizer.eos_token


def test_a_method_starts_from_the_checkpoint_that_it_names(small, tmp_path):
    recipe = small()
    select(recipe)
    made = [path.name for path in train(recipe).made]
    assert made == ["tagged-seed0", "sftkey-seed0", "slow-seed0"]  # the shared stage once, sft was there
    assert list(read_manifest(recipe.output_dir / "train" / "sftkey-seed0").inputs) == [
        "select/key",
        "solve",
        "train/tagged-seed0",
    ]
    assert train(recipe).made == ()
    start = ModelFiles("tagged", recipe.output_dir / "train" / "tagged-seed0" / "model")
    space = Workspace(recipe)
    (examples,) = examples_of(space, [run_of(space, "sftkey", 0)]).values()
    model, tokenizer = load_both(start, trust_remote_code=False)
    finetuning.finetune(model, tokenizer, examples, recipe.train.of("sftkey"), 0, tmp_path / "by_hand")
    by_hand = load_file(tmp_path / "by_hand" / "model" / "model.safetensors")
    assert not changed_names(by_hand, weights_of(recipe, "sftkey-seed0"))
    assert changed_names(by_hand, weights_of(recipe, "tagged-seed0"))


def test_stages_that_were_interrupted_end_with_the_same_bytes(small, monkeypatch):
    """The first in full, the second with adapters on the first one's checkpoint."""
    lora = "train.methods.sftkey.lora={r=2, alpha=4, dropout=0.5}"
    recipe = small("train.selections=['sftkey']", "train.save_every=1", "train.num_epochs=1", lora)
    select(recipe)
    shutil.rmtree(recipe.output_dir / "train")
    train(recipe)
    undisturbed = artifacts(recipe.output_dir / "train")
    shutil.rmtree(recipe.output_dir / "train")
    plain = finetuning.make_trainer

    def make_trainer(*arguments):
        trainer = plain(*arguments)
        trainer.add_callback(Interrupt(1, 2))
        return trainer

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "make_trainer", make_trainer)
        with pytest.raises(KeyboardInterrupt):
            train(recipe)
        with pytest.raises(KeyboardInterrupt):
            train(recipe)
    train(recipe)
    assert artifacts(recipe.output_dir / "train") == undisturbed


def test_adapters_of_a_later_stage_lie_on_the_merged_ones_of_the_former(small):
    recipe = small("train.selections=['sftkey']", LORA, "train.learning_rate=1e-2", "train.num_epochs=1")
    select(recipe)
    train(recipe)
    base = load_file(find_model("tiny").directory / "model.safetensors")
    first, second = weights_of(recipe, "tagged-seed0"), weights_of(recipe, "sftkey-seed0")
    for before, after in ((base, first), (first, second)):
        assert changed_names(before, after) and all("proj" in name for name in changed_names(before, after))
    settings = json.loads((recipe.output_dir / "train/sftkey-seed0/manifest.json").read_text())["settings"]
    assert settings["train"]["lora"]["r"] == 2


def test_every_verb_knows_methods_in_stages(small):
    recipe = small("evaluate.num_samples=0", "report.baseline=sft", "train.selections=['sft', 'sftkey']")
    select(recipe)
    train(recipe)
    evaluate(recipe)
    report(recipe)
    tables = (recipe.output_dir / "report" / "results.md").read_text()
    rows = [line.split(" | ") for line in tables.splitlines() if line.startswith("| ") and " ± " in line]
    assert [row[0] for row in rows] == ["| base", "| sft", "| sftkey"]
    shares = {name: read_manifest(recipe.output_dir / "select" / name).counts for name in ("sft", "key")}
    assert [row[1] for row in rows[1:]] == [f"{100 * c['share_selected']:.1f} %" for c in shares.values()]
    assert {item.name for item in (recipe.output_dir / "evaluate").iterdir()} == {
        "base",
        "sft-seed0",
        "sftkey-seed0",
    }
    found = {findings.selection: findings for findings in lint(recipe)}
    assert not found["key"].errors and found["key"].num_stops_selected == 3
    (shown,) = show(recipe, "key", 1)
    visible = [text for text, weight in zip(shown.texts, shown.weights, strict=True) if weight]
    assert "".join(visible).startswith("<Answer>")


def test_a_checkpoint_that_was_changed_is_not_started_from(small):
    recipe = small("train.selections=['tagged']", "train.num_epochs=1")
    select(recipe)
    train(recipe)
    weights = recipe.output_dir / "train" / "tagged-seed0" / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.safetensors is missing or was changed"):
        train(small("train.selections=['sftkey']", "train.num_epochs=1"))


def test_a_finished_stage_of_other_settings_is_refused_before_anything_is_trained(small):
    recipe = small("train.selections=['tagged']", "train.num_epochs=1")
    select(recipe)
    train(recipe)
    with pytest.raises(ArtifactError, match=r"tagged-seed0 was made with train\.num_epochs = 1\.0"):
        train(small())
    assert not (recipe.output_dir / "train" / "sftkey-seed0").exists()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("lora={target_modules=['query']}", r"lora\.target_modules names \['query'\], which the model"),
        (
            "lora={target_modules=['mlp']}",
            r"lora\.target_modules names \['mlp'\].*linear layers or embeddings",
        ),
        ("lora={target_modules=['lm_head']}", "embeddings and head share their weights"),
        ("report_to=['wandbb']", "train.report_to names wandbb: transformers knows"),
        ("max_length=20", "longer than train.max_length = 20"),
    ],
)
def test_what_a_later_run_would_trip_over_is_said_before_the_first_begins(small, settings, expected):
    recipe = small(
        "train.selections=['sft', 'late']", f"train.methods.late.{settings}", LATE, "train.seeds=[9]"
    )
    with pytest.raises(CruxtuneError, match=expected):
        train(recipe)
    assert not (recipe.output_dir / "train" / "sft-seed9").exists()


def test_weights_that_are_no_numbers_are_refused_before_the_first_run_begins(small):
    recipe = small("train.selections=['sft', 'random']", "train.seeds=[9]")
    directory = recipe.output_dir / "select" / "random"
    rows = [
        replace(row, loss_weights=[nan] * len(row.loss_weights))
        for row in read_records(directory, TokenWeights)
    ]
    manifest = read_manifest(directory)
    shutil.rmtree(directory)
    with StageWriter(directory, manifest.model_copy(update={"parts": [], "complete": False})) as writer:
        writer.write_part(0, TokenWeights, rows)
        writer.finish(manifest.counts)
    with pytest.raises(SelectionError, match="has a weight that is negative or not a number"):
        train(recipe)
    assert not (recipe.output_dir / "train" / "sft-seed9").exists()
