"""Shards of a stage, put together, are what one process writes; what doesn't belong together is refused."""

import json
import shutil

import pytest
from commands import artifacts, cruxtune, write_recipe

from cruxtune.models import find_model


@pytest.fixture(scope="module")
def sharded(finished, tmp_path_factory):
    """A run's folder with two shards of each stage, made as on two machines."""
    folder = tmp_path_factory.mktemp("sharded")
    recipe = write_recipe(folder, folder / "out")
    stopped = cruxtune("solve", recipe, "--shard", "0/2", "--budget", "1s")
    assert stopped.returncode == 0 and "8 of 16 problems are left; the same command" in stopped.stdout
    assert stopped.stdout.endswith("next: the same command\n")
    for shard in ("0/2", "1/2"):
        solved = cruxtune("solve", recipe, "--shard", shard)
        assert solved.returncode == 0, solved.stderr
    assert "when all shards are there: cruxtune merge" in solved.stdout
    shutil.copytree(finished / "solve", folder / "out" / "solve")
    for verb in ("annotate", "evaluate"):
        for shard in ("0/2", "1/2"):
            result = cruxtune(verb, recipe, "train.selections=[]", "--shard", shard)
            assert result.returncode == 0, result.stderr
    return folder


def copy_of(folder, tmp_path):
    """The recipe of a run of which there are only shards."""
    shutil.copytree(folder / "out" / "shards", tmp_path / "out" / "shards")
    return write_recipe(tmp_path, tmp_path / "out")


def test_merged_shards_are_what_one_process_writes(finished, sharded, tmp_path):
    recipe = copy_of(sharded, tmp_path)
    shutil.rmtree(tmp_path / "out" / "shards")
    elsewhere = [tmp_path / "node0", tmp_path / "node1"]
    for index, node in enumerate(elsewhere):
        for place in (sharded / "out" / "shards").rglob(f"{index}-of-2"):
            shutil.copytree(place, node / place.relative_to(sharded / "out" / "shards"))
    result = cruxtune("merge", recipe, *elsewhere, "train.selections=[]")
    assert result.returncode == 0, result.stderr
    for name in ("solve", "annotate", "evaluate/base"):
        assert artifacts(tmp_path / "out" / name) == artifacts(finished / name)
    assert "was done already" in cruxtune("merge", recipe, *elsewhere, "train.selections=[]").stdout


def refusal(*arguments: object) -> str:
    result = cruxtune(*arguments)
    assert result.returncode == 1, result.stdout
    assert result.stderr.startswith("cruxtune: error: ") and result.stderr.count("\n") == 1
    return result.stderr


def test_a_missing_or_unfinished_shard_is_named(sharded, tmp_path):
    recipe = copy_of(sharded, tmp_path)
    unfinished = tmp_path / "out" / "shards" / "solve" / "0-of-2" / "manifest.json"
    manifest = json.loads(unfinished.read_text())
    unfinished.write_text(json.dumps({**manifest, "complete": False, "parts": []}))
    assert "shard 0/2 of solve is missing or not complete: run `solve` with --shard 0/2" in refusal(
        "merge", recipe
    )
    shutil.rmtree(tmp_path / "out" / "shards" / "solve" / "1-of-2")
    assert "shard 0/2, 1/2 of solve is missing or not complete" in refusal("merge", recipe)
    assert not (tmp_path / "out" / "solve").exists()


def test_evidence_of_two_models_is_not_merged_and_both_are_named(sharded, tmp_path):
    recipe = copy_of(sharded, tmp_path)
    other = tmp_path / "other"
    shutil.copytree(find_model("tiny").directory, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rope_theta": 12345.0}))
    strange = tmp_path / "strange"
    made = cruxtune("solve", recipe, f"model.name={other}", f"output_dir={strange}", "--shard", "1/2")
    assert made.returncode == 0, made.stderr
    shutil.rmtree(tmp_path / "out" / "shards" / "solve" / "1-of-2")
    said = refusal("merge", recipe, tmp_path / "out" / "shards", strange)
    assert "can't be merged: one was made with tiny (" in said and f"the other with {other} (" in said


def test_shards_that_overlap_or_that_nobody_made_are_refused(sharded, tmp_path):
    recipe = copy_of(sharded, tmp_path)
    shutil.copytree(tmp_path / "out" / "shards" / "solve" / "0-of-2", tmp_path / "out" / "shards" / "again")
    assert "shard 0/2 is there twice" in refusal("merge", recipe)
    assert "solve is missing, but" in (said := refusal("annotate", recipe)) and "run `merge` first" in said
    assert "there are no shards under" in refusal("merge", recipe, tmp_path / "nowhere")
    assert "the first is 0/4, the last 3/4" in refusal("solve", recipe, "--shard", "4/4")
    assert "write it as 0/4" in refusal("solve", recipe, "--shard", "one")
    assert "write it as 90s" in refusal("solve", recipe, "--budget", "later")
