"""`cruxtune plan`: what the job will cost."""

from typing import Annotated

import typer

from cruxtune.cli.application import Overrides, RecipeArgument, app


@app.command()
def plan(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="How long to probe.")] = 30.0,
) -> None:
    """Probe for half a minute and say what solving and annotation take; nothing is written."""
    from cruxtune.recipe import load_recipe
    from cruxtune.stages.plan import plan as make_plan

    loaded = load_recipe(recipe, overrides or ())
    print(make_plan(loaded, seconds).as_markdown(loaded.annotate.mode))
