"""`cruxtune relabel`: stored evidence under today's verifier and rules."""

import shlex

from cruxtune.cli.application import Overrides, RecipeArgument, app


@app.command()
def relabel(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Verify all stored rollouts again and derive the labels from that; no model is run."""
    from cruxtune.recipe import load_recipe
    from cruxtune.stages.relabel import relabel as relabel_evidence

    directory, changes = relabel_evidence(load_recipe(recipe, overrides or ()))
    print(changes.as_markdown())
    arguments = [recipe, *(overrides or ()), f"output_dir={directory}"]
    print(f"{directory}\nnext: cruxtune run {shlex.join(arguments)}")
