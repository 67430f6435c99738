"""`cruxtune recheck`: how much of the labels is noise of batches, precision and engines."""

from typing import Annotated

import typer

from cruxtune.cli.application import Overrides, RecipeArgument, app


@app.command()
def recheck(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    engine: Annotated[str | None, typer.Option(help="Another engine: reference, trunk, vllm.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Another precision: float32, bfloat16, float16.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Another batch size.")] = None,
    num_positions: Annotated[int, typer.Option(min=1, help="How many positions to sample.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
) -> None:
    """Run a sample of the stored positions again and say how many verdicts and labels flip."""
    from cruxtune.recipe import load_recipe
    from cruxtune.stages.recheck import Conditions
    from cruxtune.stages.recheck import recheck as run_again

    conditions = Conditions(engine, dtype, batch_size, num_positions, seed)
    directory, stability = run_again(load_recipe(recipe, overrides or ()), conditions)
    print(stability.as_markdown())
    print(f"{directory}\n{len(stability.marked)} near-ties and changes in {directory / 'near-ties.jsonl'}")
