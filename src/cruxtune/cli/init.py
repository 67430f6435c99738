"""`cruxtune init`: a recipe to start from."""

from pathlib import Path
from typing import Annotated

import typer

from cruxtune.cli.application import app
from cruxtune.errors import RecipeError


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("recipe.toml")) -> None:
    """Write a commented recipe to start from."""
    template = (Path(__file__).parents[1] / "recipe" / "template.toml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template)
    except FileExistsError as error:
        raise RecipeError(f"{path} exists already: choose another name") from error
    except OSError as error:
        raise RecipeError(f"can't write {path}: {error.strerror}") from error
    print(f"{path}\nnext: edit it, then  cruxtune run {path}")
