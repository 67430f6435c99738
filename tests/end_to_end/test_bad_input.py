"""What a user can get wrong: each mistake gets one line with the remedy, and nothing is lost."""

import json
import shutil
from pathlib import Path

import pytest
from commands import artifacts, cruxtune, write_recipe

from cruxtune.models import find_model
from cruxtune.records import Solution
from cruxtune.store import read_records


def complaint(*arguments: object) -> str:
    """The one line that a failing command prints."""
    result = cruxtune(*arguments)
    assert result.returncode == 1, result.stdout + result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("cruxtune: error: "), result.stderr
    return lines[0]


@pytest.fixture
def recipe(tmp_path) -> Path:
    return write_recipe(tmp_path, tmp_path / "out")


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """The output directory of `recipe`: a finished run that may be changed."""
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def solved(finished, tmp_path) -> Path:
    """The output directory of `recipe`, as it is after `solve`."""
    shutil.copytree(finished / "solve", tmp_path / "out" / "solve")
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('{"question": "1+1?"}', "no column 'answer'"),
        ("", "is empty"),
        ('{"q": "1+1?", "answer": "2"}', "no column 'question', only 'q', 'answer'"),
        (
            '{"id": "a", "question": "x", "answer": "2"}\n{"id": "a", "question": "y", "answer": "2"}',
            "same id 'a'",
        ),
        ('{"question": "x", "answer": "2"', "line 1 is not JSON"),
        ('{"question": "x", "answer": ""}', "the column 'answer' is empty"),
    ],
)
def test_bad_problem_files_are_named(recipe, tmp_path, rows, expected):
    path = tmp_path / "problems.jsonl"
    path.write_text(rows)
    source = ["problems.type=file", f"problems.path={path}"]
    if "id" in rows:
        source.append("problems.id_column=id")
    assert expected in complaint("solve", recipe, *source)


def test_a_question_longer_than_the_context_is_counted_and_the_others_are_solved(recipe, tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [
        {"question": "How many? " * 2000, "answer": "1"},
        {"question": "Tom has 2 pens. How many?", "answer": "2"},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    result = cruxtune("solve", recipe, "problems.type=file", f"problems.path={path}")
    assert result.returncode == 0, result.stderr
    assert "1 problems fill the model's context" in result.stderr
    long, short = read_records(tmp_path / "out" / "solve", Solution)
    assert long.completion.token_ids == [] and short.completion.token_ids


def test_an_output_directory_of_another_recipe_is_refused_and_left_alone(finished):
    before = artifacts(finished)
    said = complaint("run", finished.parent / "small.toml", "solve.max_new_tokens=99")
    assert "solve.max_new_tokens = 140, the recipe says 99" in said
    assert artifacts(finished) == before


def test_problems_that_were_edited_after_they_were_solved_are_refused(recipe, tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text('{"question": "Tom has 2 pens. How many?", "answer": "2"}')
    source = ("problems.type=file", f"problems.path={path}")
    assert cruxtune("solve", recipe, *source).returncode == 0
    path.write_text('{"question": "Tom has 3 pens. How many?", "answer": "3"}')
    assert "was made from other contents of `problems`" in complaint("solve", recipe, *source)


def test_a_checkpoint_that_was_changed_is_not_evaluated(copied, recipe):
    shutil.rmtree(copied / "evaluate" / "sft-seed0")
    weights = copied / "train" / "sft-seed0" / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    said = complaint("evaluate", recipe)
    assert "model.safetensors is missing or was changed" in said


def test_an_unknown_logger_is_named_before_any_step(copied, recipe):
    shutil.rmtree(copied / "train")
    said = complaint("train", recipe, "train.report_to=['wandbb']")
    assert "train.report_to names wandbb: transformers knows" in said


def test_solutions_of_another_model_are_refused(solved, recipe, tmp_path):
    other = copy_of_tiny(tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rope_theta": 12345.0}))
    assert "was made with tiny" in complaint("annotate", recipe, f"model.name={other}")
    assert not (solved / "annotate").exists()


@pytest.mark.parametrize("override", ["solve.max_new_tokens=50", "prompt.template=direct"])
def test_solutions_of_another_template_or_limit_are_not_annotated(solved, recipe, override):
    said = complaint("annotate", recipe, override)
    assert "out/solve was made with" in said


def test_responses_of_another_temperature_are_not_reported(copied, recipe):
    shutil.rmtree(copied / "report")
    said = complaint("report", recipe, "evaluate.temperature=0.5")
    assert "was made with evaluate.temperature = 1.0, the recipe says 0.5" in said


def test_the_same_model_at_another_place_is_the_same_model(copied, recipe, tmp_path):
    moved = copy_of_tiny(tmp_path / "moved")
    result = cruxtune("run", recipe, f"model.name={moved}")
    assert result.returncode == 0 and "nothing to do" in result.stdout


def test_an_evaluation_of_the_base_alone_is_a_run(copied, recipe):
    result = cruxtune("run", recipe, "train.selections=[]")
    assert result.returncode == 0, result.stderr
    assert "nothing is asked for" in result.stdout


def test_damaged_weights_are_named(recipe, tmp_path):
    broken = copy_of_tiny(tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2_000_000])
    assert "can't load" in complaint("solve", recipe, f"model.name={broken}")


def test_a_model_without_a_pad_token_solves_the_same(finished, recipe, tmp_path):
    bare = copy_of_tiny(tmp_path / "bare")
    for name in ("tokenizer_config.json", "config.json", "generation_config.json"):
        values = json.loads((bare / name).read_text())
        (bare / name).write_text(
            json.dumps({key: value for key, value in values.items() if not key.startswith("pad_token")})
        )
    result = cruxtune("solve", recipe, f"model.name={bare}")
    assert result.returncode == 0, result.stderr
    found = [s.completion for s in read_records(tmp_path / "out" / "solve", Solution)]
    assert found == [s.completion for s in read_records(finished / "solve", Solution)]


def test_a_model_without_a_chat_template_is_refused_for_chat(recipe):
    assert "has no chat template: set prompt.template" in complaint("solve", recipe, "prompt.template=chat")


def test_what_is_no_model_is_refused(recipe, tmp_path):
    assert "has no config.json" in complaint("solve", recipe, f"model.name={tmp_path}")
    assert "neither `tiny`, nor a directory, nor to be had" in complaint(
        "solve", recipe, "model.name=nobody/nothing"
    )


def test_a_verb_before_its_time_names_the_one_to_run_first(recipe):
    assert "solve is missing: run `solve` first" in complaint("annotate", recipe)


def test_a_damaged_part_is_named(copied, recipe):
    shutil.rmtree(copied / "annotate")
    part = copied / "solve" / "solutions-00001.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    assert "solutions-00001.parquet is missing or was changed" in complaint("annotate", recipe)


def test_nothing_is_left_to_select_is_said_before_training(copied, recipe):
    said = complaint("select", recipe, "select.none={type='strict', min_alternative_prob=1.0}")
    assert "select.none selects none of" in said


def test_a_text_longer_than_max_length_is_refused_not_cut(copied, recipe):
    shutil.rmtree(copied / "train")
    said = complaint("train", recipe, "train.max_length=20")
    assert "longer than train.max_length = 20" in said


def test_adapters_on_what_the_model_lacks_are_refused(copied, recipe):
    shutil.rmtree(copied / "train")
    said = complaint("train", recipe, "train.lora={target_modules=['query']}")
    assert "train.lora.target_modules names ['query'], which the model does not have" in said


def test_weights_of_another_tokenizer_are_not_trained_on(copied, recipe, tmp_path):
    shutil.rmtree(copied / "train")
    other = copy_of_tiny(tmp_path / "other")
    config = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps({**config, "added": True}))
    assert "was made with tiny" in complaint("train", recipe, f"model.name={other}")
    assert not (copied / "train").exists()


def copy_of_tiny(directory: Path) -> Path:
    shutil.copytree(find_model("tiny").directory, directory)
    return directory
