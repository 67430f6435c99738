"""The verbs that are stages."""

from cruxtune.cli.application import (
    Budget,
    Overrides,
    RayOption,
    RecipeArgument,
    ShardOption,
    WorkersOption,
    app,
)
from cruxtune.cli.walk import terms_of, walk

SPREAD = ("solve", "sample", "annotate", "evaluate")
"""The verbs that take a budget, a shard or a cluster."""


@app.command()
def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Walk all stages, from problems to the report; what is there already is not made again.

    A budget is for the annotation; the stages after it work on what it found out.
    """
    terms = {verb: terms_of(budget if verb == "annotate" else None, None, workers, ray) for verb in SPREAD}
    walk(recipe, overrides, None, terms)


@app.command()
def solve(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Write a greedy solution of every training problem, with its verdict."""
    walk(recipe, overrides, "solve", {"solve": terms_of(budget, shard, workers, ray)})


@app.command()
def sample(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Sample the problems that greedy decoding missed until one try is right."""
    walk(recipe, overrides, "sample", {"sample": terms_of(budget, shard, workers, ray)})


@app.command()
def annotate(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Replace every token of every correct solution, continue, verify; store the evidence."""
    walk(recipe, overrides, "annotate", {"annotate": terms_of(budget, shard, workers, ray)})


@app.command()
def gather(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Verify the solutions of others, `solutions` in the recipe, and write them as the model's tokens."""
    walk(recipe, overrides, "gather")


@app.command()
def score(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Ask a model for what selections rank tokens by: attention, probabilities in another model."""
    walk(recipe, overrides, "score")


@app.command()
def select(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Turn the evidence into loss weights, one set a rule."""
    walk(recipe, overrides, "select")


@app.command()
def sweep(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Try settings of training for each method, and choose on problems that are held out."""
    walk(recipe, overrides, "sweep")


@app.command()
def train(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Fine-tune the base model on each set of weights with each seed."""
    walk(recipe, overrides, "train")


@app.command()
def evaluate(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Let the base model and every checkpoint answer the benchmarks."""
    walk(recipe, overrides, "evaluate", {"evaluate": terms_of(budget, shard, workers, ray)})


@app.command()
def report(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Write the tables and the page from what the other stages wrote."""
    walk(recipe, overrides, "report")
