"""The house keeps its order: imports go one way, files stay small, recipes and the README hold."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cruxtune.recipe import load_recipe, shipped_recipes

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "cruxtune"
FILES = sorted(PACKAGE.rglob("*.py"))

BASE = {"records", "errors"}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "progress": set(),
    "verify": BASE,
    "select": BASE,
    "evaluate": BASE,
    "problems": BASE,
    "recipe": BASE | {"select"},
    "store": BASE,
    "models": BASE | {"store"},
    "engines": BASE | {"models"},
    "counterfactual": BASE | {"engines", "verify"},
    "train": BASE | {"recipe", "store", "progress"},
    "report": BASE | {"evaluate"},
}
"""Each room and those that it may import; only rooms above it in the table."""
ROOMS["stages"] = set(ROOMS)
ROOMS["pipeline"] = set(ROOMS)
ROOMS["cli"] = set(ROOMS)
ROOMS["__main__"] = {"cli"}

TORCH_AT_THE_TOP = (
    "engines/loading.py",
    "engines/memory.py",
    "engines/reference.py",
    "engines/sampling.py",
    "engines/statistics.py",
    "engines/stopping.py",
    "engines/trunk/",
    "train/",
)
HEAVY = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "matplotlib",
    "sympy",
    "math_verify",
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path, top_only: bool = False) -> Iterator[str]:
    """Every module that a file imports; those inside functions only if asked for."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                assert len(path.relative_to(PACKAGE).parts) > node.level, "a relative import leaves its room"
                continue
            names = [alias.name for alias in node.names]
            yield from (
                [f"cruxtune.{name}" for name in names] if node.module == "cruxtune" else [node.module or ""]
            )


def rooms_imported(path: Path) -> set[str]:
    parts = [module.split(".") for module in imported(path)]
    rooms = {part[1] for part in parts if part[0] == "cruxtune" and len(part) > 1}
    return {room for room in rooms if not room.startswith("__")} - {room_of(path)}


def test_the_table_of_rooms_goes_one_way():
    order = list(ROOMS)
    for room, allowed in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in allowed), room


def test_every_file_is_in_a_room():
    assert {room_of(path) for path in FILES} - {"__init__"} <= set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path):
    upward = rooms_imported(path) - ROOMS.get(room_of(path), set())
    assert not upward, f"{name_of(path)} may not import {', '.join(sorted(upward))}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_libraries_are_imported_where_the_work_is(path):
    if name_of(path).startswith(TORCH_AT_THE_TOP):
        return
    heavy = {module.split(".")[0] for module in imported(path, top_only=True)} & HEAVY
    if "torch" not in heavy and name_of(path).startswith(("verify/algebra", "verify/worker", "report/")):
        return
    assert not heavy, f"{name_of(path)} imports {', '.join(sorted(heavy))} at module level"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name} is long"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_module_says_what_is_in_it(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_nothing_is_left_to_do():
    marks = re.compile("TO" + "DO|FIX" + "ME|X" + "XX")
    files = [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    assert [path for path in files if marks.search(path.read_text(encoding="utf-8"))] == []


def test_the_extras_are_these():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert list(project["optional-dependencies"]) == ["test", "vllm", "ray", "deepspeed", "docs"]


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_parses(name):
    assert load_recipe(name).name == name.replace("/", "-")


def commands(document: Path) -> list[list[str]]:
    """The words of every `cruxtune …` in the bash blocks of a document."""
    blocks = re.findall(r"^```bash\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.S | re.M)
    lines = [shlex.split(part, comments=True) for block in blocks for part in re.split("\n|&&", block)]
    return [words[1:] for words in lines if words[:1] == ["cruxtune"]]


def verbs() -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / "cli").glob("*.py")]
    return {
        node.name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator) == "app.command()" for decorator in node.decorator_list)
    }


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_documents_name_only_verbs_and_recipes_that_exist(path):
    for verb, *arguments in commands(path):
        assert verb in verbs() | {"--help", "--version"}, f"{path.name}: cruxtune {verb}"
        plain = [
            word for word, last in zip(arguments, [verb, *arguments], strict=False) if "--" not in word + last
        ]
        names = [word for word in plain if "=" not in word and not word.endswith(".toml")]
        assert verb == "init" or set(names) <= set(shipped_recipes()), f"{path.name}: {names}"


def test_the_readme_begins_with_the_two_commands():
    if "```bash" not in (ROOT / "README.md").read_text(encoding="utf-8"):
        pytest.skip("the README has no commands yet")
    assert ["run", "tiny"] in commands(ROOT / "README.md")
