"""Selections that need more than evidence, through the command line."""

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import cruxtune, write_recipe

from cruxtune.models import find_model, load_tokenizer
from cruxtune.records import Solution, TokenScores, TokenWeights
from cruxtune.store import read_records
from cruxtune.verify import extract_answer


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A finished run, but for what its selections are made into."""
    later = shutil.ignore_patterns("select", "train", "evaluate", "report")
    return shutil.copytree(finished, tmp_path / "out", ignore=later)


@pytest.fixture
def recipe(tmp_path) -> Path:
    return write_recipe(tmp_path, tmp_path / "out")


def weights(directory: Path, name: str) -> list[float]:
    return [w for item in read_records(directory / "select" / name, TokenWeights) for w in item.loss_weights]


def complaint(*arguments: object) -> str:
    result = cruxtune(*arguments)
    assert result.returncode == 1, result.stdout + result.stderr
    (line,) = result.stderr.strip().splitlines()
    return line


def test_baselines_by_models_take_exactly_as_many_tokens(finished, copied, recipe):
    checkpoint = finished / "train" / "sft-seed0" / "model"
    asked = (
        recipe,
        "select.entropy={type='entropy', match='cft'}",
        "select.doubt={type='low_confidence', match='cft'}",
        "select.attention={type='attention', match='cft'}",
        f"select.gain={{type='score', model='{checkpoint}', share=0.15}}",
        f"select.rho={{type='excess_loss', model='{checkpoint}', match='cft'}}",
        "select.numbers=number",
        "select.both='cft & number'",
        "select.rest='all - key'",
    )
    for verb, said in (("score", "next: cruxtune select"), ("select", "next: cruxtune train")):
        result = cruxtune(verb, *asked)
        assert result.returncode == 0, result.stderr
        assert said in result.stdout
    count = sum(weight > 0 for weight in weights(copied, "cft"))
    for name in ("random", "entropy", "doubt", "attention", "rho"):
        assert sum(weights(copied, name)) == count, name
    num_tokens = len(weights(copied, "cft"))
    assert sum(weights(copied, "gain")) == int(0.15 * num_tokens + 0.5)
    assert weights(copied, "both") == [
        a * b for a, b in zip(weights(copied, "cft"), weights(copied, "numbers"), strict=True)
    ]
    names = sorted(path.name for path in (copied / "score").iterdir())
    assert names[0] == "attention" and names[1].startswith("logprobs-") and len(names) == 2
    lengths = {s.id: len(s.completion.token_ids) for s in read_records(copied / "solve", Solution)}
    for name in names:
        for item in read_records(copied / "score" / name, TokenScores):
            assert len(item.scores) == lengths[item.solution_id]


def test_selections_that_ask_a_model_name_the_verb_to_run_first(copied, recipe):
    said = complaint("select", recipe, "select.attention={type='attention', match='cft'}")
    assert "score/attention is missing: run `score` first" in said
    assert not (copied / "select").exists()


def test_a_model_of_another_tokenizer_is_refused(copied, recipe, tmp_path, tiny_files):
    said = complaint("score", recipe, f"select.gain={{type='score', model='{tiny_files}', share=0.1}}")
    assert "its token ids mean other tokens" in said and "hash" in said
    assert not (copied / "score").exists()


def test_a_model_that_is_not_there_is_refused(copied, recipe):
    said = complaint("select", recipe, "select.gain={type='score', model='nowhere/model', share=0.1}")
    assert "'nowhere/model' is neither" in said


def test_where_one_selection_takes_nothing_none_is_written(copied, recipe):
    said = complaint("select", recipe, "select.none='cft & (stop - all)'")
    assert "select.none selects none of" in said
    assert not (copied / "select").exists()


def test_scores_of_a_changed_checkpoint_are_other_scores(finished, copied, recipe, tmp_path):
    model = shutil.copytree(finished / "train" / "sft-seed0" / "model", tmp_path / "model")
    asked = (recipe, f"select.gain={{type='score', model='{model}', share=0.15}}")
    assert cruxtune("score", *asked).returncode == 0
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rope_theta": 12345.0}))
    assert cruxtune("score", *asked).returncode == 0
    assert len(list((copied / "score").iterdir())) == 2


def test_a_selection_whose_parts_changed_is_refused(copied, recipe):
    both = "select.both='cft & number'"
    assert cruxtune("select", recipe, both).returncode == 0
    for name in ("cft", "random"):
        shutil.rmtree(copied / "select" / name)
    said = complaint("select", recipe, both, "select.cft.k=2")
    assert "select/both was made with uses.cft.k = 3, the recipe says 2" in said


def test_tiny_is_its_own_reference(copied, recipe):
    tiny = find_model("tiny").directory
    asked = (recipe, f"select.gain={{type='score', model='{tiny}', share=1.0}}")
    assert cruxtune("score", *asked).returncode == 0
    assert cruxtune("select", *asked).returncode == 0
    assert set(weights(copied, "gain")) == {1.0}


def test_lint_and_show_tell_what_training_sees(finished):
    recipe = finished.parent / "small.toml"
    linted = cruxtune("lint", recipe)
    assert linted.returncode == 0, linted.stderr
    assert [line.partition(":")[0] for line in linted.stdout.splitlines()] == [
        "sft",
        "cft",
        "random",
        "graded",
    ]
    assert "sft: 3 solutions, all is well" in linted.stdout
    too_long = cruxtune("lint", recipe, "train.max_length=20")
    assert too_long.returncode == 1 and "error: 3 longer than train.max_length" in too_long.stdout


def test_show_marks_exactly_the_weighted_tokens(finished):
    recipe = finished.parent / "small.toml"
    shown = cruxtune("show", recipe, "--selection", "graded", "--num-solutions", "1")
    assert shown.returncode == 0, shown.stderr
    first = next(read_records(finished / "select" / "graded", TokenWeights))
    assert shown.stdout.count("⟦") == sum(weight > 0 for weight in first.loss_weights)
    assert shown.stdout.count(" ×2⟧") == sum(weight == 2 for weight in first.loss_weights)
    (solution,) = [s for s in read_records(finished / "solve", Solution) if s.id == first.solution_id]
    assert solution.completion.text in re.sub("⟦| ×2⟧|⟧", "", shown.stdout)
    assert "Question" in shown.stdout.partition("⟦")[0]
    assert "'cfd' is not under [select]" in complaint("show", recipe, "--selection", "cfd")


def test_the_key_of_a_solution_is_the_end_that_states_its_answer(copied, recipe):
    assert cruxtune("select", recipe, "select.key=key").returncode == 0
    tokenizer = load_tokenizer(find_model("tiny"))
    solutions = {s.id: s for s in read_records(copied / "solve", Solution)}
    for item in read_records(copied / "select" / "key", TokenWeights):
        solution = solutions[item.solution_id]
        start = item.loss_weights.index(1.0)
        assert set(item.loss_weights[start:]) == {1.0}
        key = tokenizer.decode(solution.completion.token_ids[start:], skip_special_tokens=True)
        assert solution.completion.text.endswith(key) and extract_answer(key) == solution.grade.answer
        assert len(key) < 40
