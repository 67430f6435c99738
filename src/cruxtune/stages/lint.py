"""Lint: whether what `select` wrote is what training should see. Nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cruxtune.errors import SelectionError
from cruxtune.recipe import Recipe
from cruxtune.records import Solution
from cruxtune.stages.rewriting import Texts
from cruxtune.stages.select import checked_weights, misses_stops
from cruxtune.stages.workspace import Workspace
from cruxtune.train.examples import make_examples


@dataclass(frozen=True, slots=True)
class Findings:
    """What is to be known of one selection; counts of solutions where nothing else is said."""

    selection: str
    num_solutions: int
    num_misaligned: int = 0
    """Without weights, with weights of another length, or with weights that are no numbers."""
    first_misaligned: str = ""
    """What is wrong with the first of them."""
    num_empty: int = 0
    """Without any selected token."""
    num_prompt_tokens: int = 0
    """Tokens of prompts with a weight."""
    num_too_long: int = 0
    """Of more tokens than train.max_length."""
    num_stops: int = 0
    """With a stop token."""
    num_stops_selected: int = 0

    @property
    def errors(self) -> list[str]:
        """What training would refuse or learn wrongly."""
        found = (
            (self.num_misaligned, f"weights don't fit: {self.first_misaligned}"),
            (self.num_prompt_tokens, "prompt tokens are selected"),
            (self.num_too_long, "longer than train.max_length"),
        )
        return [f"{count} {what}" for count, what in found if count]

    @property
    def warnings(self) -> list[str]:
        """What may be meant, but should be known."""
        found = []
        if self.num_empty:
            found.append(f"{self.num_empty} without any selected token")
        if misses_stops(self.num_stops_selected, self.num_stops):
            found.append(
                f"the stop token is selected in {self.num_stops_selected} of {self.num_stops}: a model that "
                "never trains on it can forget to stop"
            )
        return found


def lint(recipe: Recipe) -> Iterator[Findings]:
    """What is to be known of each selection of the recipe."""
    space = Workspace(recipe)
    texts = Texts(space)
    for name in recipe.select:
        weights = checked_weights(space, name)
        yield examine(name, texts.of(name), weights, recipe.train.max_length)


def examine(
    name: str, solutions: Sequence[Solution], weights: Mapping[str, Sequence[float]], max_length: int
) -> Findings:
    """Each solution through the trainer's own builder, and what comes of it."""
    misaligned: list[str] = []
    num_empty = num_prompt_tokens = num_stops_selected = 0
    for solution in solutions:
        if _is_empty(solution, weights):
            num_empty += 1
            continue
        try:
            (example,) = make_examples([solution], weights, max_length=2**31)
        except SelectionError as error:
            misaligned.append(str(error))
            continue
        num_prompt_tokens += sum(w != 0 for w in example.loss_weights[: len(solution.prompt_ids)])
        num_stops_selected += solution.completion.has_stopped and example.loss_weights[-1] > 0
    lengths = [len(s.prompt_ids) + len(s.completion.token_ids) for s in solutions]
    return Findings(
        name,
        len(solutions),
        num_misaligned=len(misaligned),
        first_misaligned=misaligned[0] if misaligned else "",
        num_empty=num_empty,
        num_prompt_tokens=num_prompt_tokens,
        num_too_long=sum(length > max_length for length in lengths),
        num_stops=sum(solution.completion.has_stopped for solution in solutions),
        num_stops_selected=num_stops_selected,
    )


def _is_empty(solution: Solution, weights: Mapping[str, Sequence[float]]) -> bool:
    """Whether it has its weights, and all of them are 0."""
    own = weights.get(solution.id, ())
    return len(own) == len(solution.completion.token_ids) and not any(own)
