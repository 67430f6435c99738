"""The sweep: held-out problems that nothing else touches, every run once, the best one taken by all verbs."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from commands import environment

from cruxtune.errors import ArtifactError, RecipeError
from cruxtune.evaluate import mean_estimate
from cruxtune.pipeline import run, stages_of
from cruxtune.recipe.loading import parse_recipe
from cruxtune.records import Position, Problem, Response, Solution, TokenWeights, Verdict
from cruxtune.stages import annotate, select, solve, sweep, train
from cruxtune.stages.rewriting import Texts
from cruxtune.stages.runs import run_of
from cruxtune.stages.sweep import read_trials
from cruxtune.stages.train import examples_of
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_manifest, read_records
from cruxtune.train import finetune as finetuning

SWEEPING = import_module("cruxtune.stages.sweep")
RECIPE = """
name = "swept"
[problems]
type = "synthetic"
num_problems = 14
[validation]
num_problems = 8
[solve]
max_new_tokens = 140
[annotate]
k = 2
num_solutions = 2
[select]
sft = { type = "all" }
key = "key"
[train]
selections = ["sft", "later"]
seeds = [0, 2]
num_epochs = 1
batch_size = 2
micro_batch_size = 2
warmup_ratio = 0.0
monitor_every = 0
[train.methods]
later = { selection = "key", after = "sft" }
[sweep]
grid = { learning_rate = [1e3, 1e-5] }
seeds = [0, 1]
[evaluate]
max_new_tokens = 140
num_samples = 0
[evaluate.benchmarks]
test = { type = "synthetic", split = "test", num_problems = 2 }
"""
BAD, GOOD = "learning_rate=1000.0", "learning_rate=1e-05"


@pytest.fixture(scope="module")
def selected(tmp_path_factory):
    """Loads the recipe with overrides; its run has come as far as `select`."""
    out = tmp_path_factory.mktemp("swept") / "out"
    recipe = lambda *overrides: parse_recipe(RECIPE, [f"output_dir={out}", *overrides])  # noqa: E731
    for stage in (solve, annotate, select):
        stage(recipe())
    return recipe


@pytest.fixture
def trained(monkeypatch):
    """The directories of all runs that are really trained, as they are."""
    names, plain = [], finetuning.finetune

    def finetune(*arguments):
        names.append(arguments[5])
        return plain(*arguments)

    monkeypatch.setattr(finetuning, "finetune", finetune)
    return names


def stop_at(call, monkeypatch):
    """A Ctrl-C before the held-out problems are answered for that time."""
    plain, calls = SWEEPING.write_responses, []

    def write_responses(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(SWEEPING, "write_responses", write_responses)


def accuracies(out, method, point):
    """By seed and problem, straight from the responses."""
    directories = [out / "sweep" / method / point / f"seed{seed}" / "validation" for seed in (0, 1)]
    return np.array(
        [[r.grade.verdict is Verdict.CORRECT for r in read_records(path, Response)] for path in directories],
        dtype=float,
    )


def test_held_out_problems_are_never_solved_annotated_or_weighed(selected):
    recipe = selected()
    space, out = Workspace(recipe), recipe.output_dir
    held_out = {problem.id for problem in space.validation_problems}
    solved = {problem.id for problem in read_records(out / "solve", Problem)}
    assert len(held_out) == 8 and len(solved) == 6
    assert held_out | solved == {problem.id for problem in space.problems(recipe.problems)}
    for stage, record in (("solve", Solution), ("annotate", Position), ("select/sft", TokenWeights)):
        ids = {r.id if record is Solution else r.solution_id for r in read_records(out / stage, record)}
        assert ids and not ids & held_out


def test_a_held_out_problem_among_the_solutions_is_refused_before_training(selected, monkeypatch):
    space = Workspace(selected("sweep.methods=['later']"))
    leak, plain = space.validation_problems[0].id, Texts.of
    monkeypatch.setattr(
        Texts, "of", lambda texts, name: [replace(s, problem_id=leak) for s in plain(texts, name)]
    )
    with pytest.raises(ArtifactError, match=f"the first of {leak}.*\\[validation\\] holds out"):
        examples_of(space, [run_of(space, "sft", 0)])


def test_a_benchmark_is_never_chosen_on(selected):
    recipe = selected("evaluate.benchmarks.test={type='synthetic', num_problems=40}")
    with pytest.raises(RecipeError, match=r"8 held-out problems.*evaluate\.benchmarks\.test too"):
        sweep(recipe)


def test_training_waits_for_the_sweep(selected):
    with pytest.raises(ArtifactError, match=r"sweep/sft is missing: run `sweep` first"):
        train(selected())


def test_every_point_is_tried_once_and_the_best_is_what_all_verbs_take(selected, trained, monkeypatch):
    recipe = selected()
    out = recipe.output_dir
    with monkeypatch.context() as patch:
        stop_at(3, patch)
        with pytest.raises(KeyboardInterrupt):
            sweep(recipe)
    made = sweep(recipe).made
    assert [path.name for path in made] == ["sft", "later"] and sweep(recipe).made == ()
    trials = [
        out / "sweep" / m / p / f"seed{s}" for m in ("sft", "later") for p in (BAD, GOOD) for s in (0, 1)
    ]
    trials = [path / "checkpoint" for path in trials]
    seed_1 = out / "train" / "sft-seed1"  # where `later` starts; seed 0 of it, too, was a trial
    assert sorted(trained) == sorted(trials)

    rows = {(row.method, row.point["learning_rate"]): row for row in read_trials(recipe)}
    assert [key for key, row in rows.items() if row.is_chosen] == [("sft", 1e-5), ("later", 1e-5)]
    for (method, rate), row in rows.items():
        found = accuracies(out, method, BAD if rate == 1e3 else GOOD)
        assert found.shape == (2, 8) and row.accuracy == mean_estimate(found)
        assert found.mean() == 0 if rate == 1e3 else found.mean() > 0.2
    assert json.loads((out / "sweep" / "sweep.json").read_text())[1]["is_chosen"]
    table = (out / "sweep" / "sweep.md").read_text().splitlines()
    assert [line.startswith("| sft | learning_rate 1e-05 | 2 |") for line in table].count(True) == 1
    assert sum("✓" in line for line in table) == 2

    trained.clear()
    steps = list(run(recipe))
    assert [step.verb for step in steps if step.result.made] == ["train", "evaluate", "report"]
    assert sorted(path.name for path in trained) == ["later-seed2", "sft-seed2"]  # seed 0 was a trial
    assert seed_1.is_dir()
    for name in ("sft-seed0", "sft-seed2", "later-seed0", "later-seed2"):
        assert read_manifest(out / "train" / name).settings["train"]["learning_rate"] == 1e-5
    weights = "model/model.safetensors"
    twin = out / "sweep" / "later" / GOOD / "seed0" / "checkpoint"
    assert (twin / weights).read_bytes() == (out / "train" / "later-seed0" / weights).read_bytes()
    assert not (out / "sweep" / "later" / BAD / "seed0" / "checkpoint" / "model").exists()
    page = (out / "report" / "results.md").read_text()
    assert "- later was trained with: learning_rate 1e-05 (chosen by the sweep)" in page

    trained.clear()
    grown = selected("sweep.grid.learning_rate=[1e3, 1e-5, 1e-6]", "sweep.methods=['sft']")
    assert [path.name for path in sweep(grown).made] == ["sft"]
    assert [path.parts[-3] for path in trained] == ["learning_rate=1e-06"] * 2


def test_only_a_recipe_with_a_sweep_has_it_among_its_stages(selected):
    assert stages_of(selected())[3:5] == ["sweep", "train"]
    before, after = RECIPE.split("[sweep]")
    plain = parse_recipe(before + after[after.index("[evaluate]") :])
    assert "sweep" not in stages_of(plain)
    with pytest.raises(RecipeError, match=r"the recipe has no \[sweep\]"):
        sweep(plain)


@pytest.mark.slow
def test_two_processes_sweep_and_train_in_stages_as_one(selected, tmp_path):
    """Training is everybody's, answers and copies are the main process's: the others wait for it."""
    short = ["sweep.grid={learning_rate=[1e-4]}", "sweep.seeds=[0]", "train.micro_batch_size=1"]
    for name in ("one", "two"):
        ignored = shutil.ignore_patterns("sweep", "train", "evaluate", "report")
        shutil.copytree(selected().output_dir, tmp_path / name, ignore=ignored)
    sweep(parse_recipe(RECIPE, [f"output_dir={tmp_path / 'one'}", *short]))
    (tmp_path / "swept.toml").write_text(RECIPE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    asked = ["-m", "cruxtune", "sweep", tmp_path / "swept.toml", f"output_dir={tmp_path / 'two'}", *short]
    subprocess.run([*torchrun, *asked], check=True, timeout=300, env=environment())
    one, two = (losses_of(tmp_path / name / "sweep", "learning_rate=0.0001") for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-4) and len(one) == 2
    assert (tmp_path / "two" / "train" / "sft-seed0" / "model").is_dir()


def losses_of(directory, point):
    """Of both methods, step by step."""
    logs = [
        directory / method / point / "seed0" / "checkpoint" / "steps.jsonl" for method in ("sft", "later")
    ]
    return [json.loads(line)["loss"] for log in logs for line in log.read_text().splitlines()]
