"""`cruxtune relabel`: stored evidence under today's verifier and rules."""

import shlex
from typing import Annotated

import typer

from cruxtune.cli.application import Overrides, RecipeArgument, app


@app.command()
def relabel(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    leave_open: Annotated[
        bool, typer.Option("--open", help="Let `annotate` complete what other verdicts ask for.")
    ] = False,
) -> None:
    """Verify all stored rollouts again and derive the labels from that; no model is run."""
    from cruxtune.recipe import load_recipe
    from cruxtune.stages.relabel import relabel as relabel_evidence

    directory, changes = relabel_evidence(load_recipe(recipe, overrides or ()), leave_open)
    print(changes.as_markdown())
    verb = "annotate" if leave_open else "run"
    arguments = [recipe, *(overrides or ()), f"output_dir={directory}"]
    print(f"{directory}\nnext: cruxtune {verb} {shlex.join(arguments)}")
