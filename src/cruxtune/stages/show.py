"""Show: solutions token by token, with the weights that the trainer's collator gives them."""

from collections.abc import Iterator
from dataclasses import dataclass

from cruxtune.errors import RecipeError
from cruxtune.models import load_tokenizer
from cruxtune.recipe import Recipe
from cruxtune.recipe.rules import AllTokens
from cruxtune.records import Example
from cruxtune.stages.rewriting import Texts
from cruxtune.stages.select import checked_weights
from cruxtune.stages.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ShownExample:
    """One row of a batch, as the loss sees it."""

    solution_id: str
    num_prompt_tokens: int
    texts: list[str]
    """Of all tokens, the prompt's first."""
    weights: list[float]
    """With which each token is predicted; 0 where it is not."""


def show(recipe: Recipe, selection: str | None, num_solutions: int) -> Iterator[ShownExample]:
    """The first solutions under a selection, through the trainer's own builder and collator."""
    from cruxtune.engines.texts import token_texts
    from cruxtune.train.examples import make_examples

    space = Workspace(recipe)
    selection = selection or _first_choice(recipe)
    if selection not in recipe.select:
        raise RecipeError(f"{selection!r} is not under [select]: {', '.join(recipe.select)}")
    weights = checked_weights(space, selection)
    tokenizer = load_tokenizer(space.model, recipe.model.trust_remote_code)
    solutions = Texts(space).of(selection)[:num_solutions]
    examples = make_examples(solutions, weights, recipe.train.max_length)
    for solution, example in zip(solutions, examples, strict=True):
        prompt, completion = solution.prompt_ids, solution.completion.token_ids
        texts = token_texts(tokenizer, prompt) + token_texts(tokenizer, completion)
        yield ShownExample(solution.id, len(prompt), texts, _predicted(example))


def _first_choice(recipe: Recipe) -> str:
    """The first selection but plain SFT, which would colour everything."""
    names = [name for name, rule in recipe.select.items() if not isinstance(rule, AllTokens)]
    return next(iter(names or recipe.select))


def _predicted(example: Example) -> list[float]:
    """The weight with which each token is predicted in a batch of this one row."""
    from cruxtune.train.batching import IGNORED, PaddedCollator, find_targets

    row = {"input_ids": example.input_ids, "loss_weights": example.loss_weights, "denominator": 1.0}
    batch = PaddedCollator(pad_token_id=0)([row])
    targets = find_targets(batch["input_ids"], batch["loss_weights"])
    weights = [0.0] * len(example.input_ids)
    for position, id, weight in zip(*(part.tolist() for part in targets), strict=True):
        if id != IGNORED:
            weights[position + 1] = weight
    return weights
