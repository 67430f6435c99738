"""Solutions and weights to examples, checked before any training step."""

import math
from collections.abc import Iterable, Mapping, Sequence

from cruxtune.errors import SelectionError
from cruxtune.records import Example, Solution


def make_examples(
    solutions: Iterable[Solution], weights: Mapping[str, Sequence[float]], max_length: int
) -> list[Example]:
    """One example a solution: prompt tokens weigh 0, completion tokens what the selection says."""
    examples = [_example(solution, weights) for solution in solutions]
    too_long = [len(example.input_ids) for example in examples if len(example.input_ids) > max_length]
    if too_long:
        raise SelectionError(
            f"{len(too_long)} of {len(examples)} examples are longer than train.max_length = {max_length}, "
            f"the longest has {max(too_long)} tokens: raise it (nothing is ever cut)"
        )
    if not any(weight > 0 for example in examples for weight in example.loss_weights[1:]):
        raise SelectionError("all loss weights are 0: there is nothing to train on")
    return examples


def _example(solution: Solution, weights: Mapping[str, Sequence[float]]) -> Example:
    completion_ids = solution.completion.token_ids
    own = weights.get(solution.id)
    if own is None:
        raise SelectionError(f"solution {solution.id} has no weights: run `select` again")
    if len(own) != len(completion_ids):
        raise SelectionError(
            f"solution {solution.id} has {len(completion_ids)} tokens but {len(own)} weights: "
            "run `select` again"
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in own):
        raise SelectionError(f"solution {solution.id} has a weight that is negative or not a number")
    prompt_ids = solution.prompt_ids
    return Example([*prompt_ids, *completion_ids], [*[0.0] * len(prompt_ids), *own], len(prompt_ids))
