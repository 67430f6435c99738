"""The command line as a user meets it: quick help, one line for a mistake, nothing overwritten."""

import os
import subprocess
import sys

import pytest

from cruxtune import __version__
from cruxtune.recipe import load_recipe, shipped_recipes

HEAVY = ("torch", "transformers", "trl", "datasets", "matplotlib", "sympy")


def cruxtune(*arguments: str, directory=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cruxtune", *arguments],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**os.environ, "COLUMNS": "120"},
        timeout=60,
    )


def complaint(*arguments: str, directory=None) -> str:
    result = cruxtune(*arguments, directory=directory)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("cruxtune: error: "), result.stderr
    return lines[0].removeprefix("cruxtune: error: ")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments):
    program = (
        "import sys; from cruxtune.cli import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: main()\n"
        "except SystemExit as leave: code = leave.code\n"
        f"print('loaded:', *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert result.stderr == "loaded:\n"
    assert result.stdout


def test_the_version_is_that_of_the_package():
    assert cruxtune("--version").stdout == f"cruxtune {__version__}\n"


def test_help_lists_every_verb():
    listed = cruxtune("--help").stdout
    verbs = (
        "run",
        "solve",
        "annotate",
        "score",
        "select",
        "lint",
        "show",
        "train",
        "evaluate",
        "report",
        "init",
    )
    assert all(f" {verb} " in listed for verb in verbs)


def test_an_unknown_recipe_is_one_line(tmp_path):
    assert complaint("run", "no-such-recipe", directory=tmp_path).startswith(
        "there is no recipe file 'no-such-recipe'"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_typo_in_an_override_is_one_line(tmp_path):
    assert complaint("run", "tiny", "trian.seeds=[0]", directory=tmp_path) == (
        "unknown key `trian`: did you mean `train`?"
    )


def test_a_stage_without_its_input_names_the_verb_to_run_first(tmp_path):
    assert (
        complaint("annotate", "tiny", directory=tmp_path) == "runs/tiny/solve is missing: run `solve` first"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_verb_is_no_traceback():
    result = cruxtune("slove", "tiny")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr and "slove" in result.stderr


def test_init_writes_a_recipe_and_never_over_another(tmp_path):
    result = cruxtune("init", "mine.toml", directory=tmp_path)
    assert result.returncode == 0
    assert result.stdout == "mine.toml\nnext: edit it, then  cruxtune run mine.toml\n"
    assert load_recipe(tmp_path / "mine.toml").name == "mine"
    (tmp_path / "mine.toml").write_text("name = 'precious'")
    assert (
        complaint("init", "mine.toml", directory=tmp_path) == "mine.toml exists already: choose another name"
    )
    assert (tmp_path / "mine.toml").read_text() == "name = 'precious'"
    assert complaint("init", "no/such/folder.toml", directory=tmp_path).startswith("can't write")


def test_init_copies_what_ships(tmp_path):
    result = cruxtune("init", "mine.toml", "--from", "paper/qwen2.5-3b", directory=tmp_path)
    assert result.stdout == "mine.toml\nnext: edit it, then  cruxtune run mine.toml\n"
    recipe = load_recipe(tmp_path / "mine.toml")
    assert recipe.name == "mine" and recipe.model.name == "Qwen/Qwen2.5-3B"
    result = cruxtune("init", "fsdp2.yaml", "--from", "accelerate/fsdp2-8gpu", directory=tmp_path)
    assert "accelerate launch --config_file fsdp2.yaml -m cruxtune train RECIPE" in result.stdout
    assert (tmp_path / "fsdp2.yaml").read_text() == shipped_recipes("yaml")[
        "accelerate/fsdp2-8gpu"
    ].read_text()
    said = complaint("init", "other.toml", "--from", "paper/qwen2.5-4b", directory=tmp_path)
    assert "none of that name ships" in said and "paper/qwen2.5-3b" in said
