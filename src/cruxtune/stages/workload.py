"""How much there is to annotate: known where there are solutions, else estimated from some of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cruxtune.errors import ArtifactError
from cruxtune.recipe import Recipe
from cruxtune.records import Solution, Verdict
from cruxtune.stages.forecast import Estimate, formula_tokens, mean, total_of_some


@dataclass(frozen=True, slots=True)
class Workload:
    """How much there is to annotate."""

    k: int
    solutions: list[Solution]
    """Known ones, to draw positions from."""
    is_known: bool
    """Whether the known ones are all."""
    num_solutions: Estimate
    num_positions: Estimate
    formula: Estimate
    """(k-1) T² / 2, over all solutions."""

    @property
    def mean_length(self) -> float:
        """Tokens of a known solution."""
        return sum(len(solution.completion.token_ids) for solution in self.solutions) / len(self.solutions)

    @classmethod
    def of_stored(cls, solutions: list[Solution], k: int) -> "Workload":
        """All of it is known."""
        lengths = [len(solution.completion.token_ids) for solution in solutions]
        formula = sum(formula_tokens(length, k) for length in lengths)
        amounts = (Estimate(float(amount)) for amount in (len(lengths), sum(lengths), formula))
        return cls(k, solutions, True, *amounts)

    @classmethod
    def of_sample(cls, recipe: Recipe, tried: Sequence[Solution], num_problems: int) -> "Workload":
        """As much as random problems let expect."""
        right = [solution for solution in tried if solution.grade.verdict is Verdict.CORRECT]
        if not right:
            raise ArtifactError(
                f"none of {len(tried)} sampled problems is solved: give --seconds more, or check "
                "prompt.template and solve.max_new_tokens"
            )
        k, most = recipe.annotate.k, recipe.annotate.num_solutions
        measures = (lambda length: 1.0, float, lambda length: formula_tokens(length, k))
        amounts = (_total(tried, measure, num_problems, most) for measure in measures)
        return cls(k, right, False, *amounts)


def _total(
    tried: Sequence[Solution], measure: Callable[[int], float], num_problems: int, most: int | None
) -> Estimate:
    """The sum of a measure of lengths over all right solutions, or over `most` of them."""
    lengths = [len(s.completion.token_ids) if s.grade.verdict is Verdict.CORRECT else 0 for s in tried]
    right = [measure(length) for length in lengths if length]
    if most is not None and most < num_problems * len(right) / len(tried):
        return total_of_some(right, most)
    return mean([measure(length) if length else 0.0 for length in lengths], num_problems) * num_problems
