"""`cruxtune merge`: shards put together."""

from pathlib import Path
from typing import Annotated

import typer

from cruxtune.cli.application import RecipeArgument, app


@app.command()
def merge(
    recipe: RecipeArgument,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDERS]... [OVERRIDES]...",
            help="Where shards lie, when not in the output directory; settings as section.key=value.",
        ),
    ] = None,
) -> None:
    """Put together what --shard runs of solve, sample, annotate and evaluate wrote."""
    from cruxtune.recipe import load_recipe
    from cruxtune.stages.shards import merge as merge_shards

    words = arguments or []
    folders = [Path(word) for word in words if "=" not in word]
    result = merge_shards(load_recipe(recipe, [word for word in words if "=" in word]), folders)
    for directory in result.directories:
        print(f"{directory}{'' if directory in result.made else '  was done already'}")
