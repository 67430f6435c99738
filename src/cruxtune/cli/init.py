"""`cruxtune init`: a recipe to start from."""

from pathlib import Path
from typing import Annotated

import typer

from cruxtune.cli.application import app
from cruxtune.errors import RecipeError


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("recipe.toml"),
    source: Annotated[
        str | None,
        typer.Option("--from", help="Copy what ships: tiny/cft, paper/qwen2.5-7b, accelerate/fsdp2-8gpu, …"),
    ] = None,
) -> None:
    """Write a commented recipe to start from, or one that ships, or a configuration of accelerate."""
    text = _file_of(source).read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise RecipeError(f"{path} exists already: choose another name") from error
    except OSError as error:
        raise RecipeError(f"can't write {path}: {error.strerror}") from error
    print(f"{path}\nnext: edit it, then  {_next(path, source)}")


def _file_of(source: str | None) -> Path:
    from cruxtune.recipe import find_recipe, shipped_recipes

    if source is None:
        return Path(__file__).parents[1] / "recipe" / "template.toml"
    return shipped_recipes("yaml").get(source) or find_recipe(source)


def _next(path: Path, source: str | None) -> str:
    if (source or "").startswith("accelerate/"):
        return f"accelerate launch --config_file {path} -m cruxtune train RECIPE"
    return f"cruxtune run {path}"
