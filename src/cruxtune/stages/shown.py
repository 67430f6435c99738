"""The annotated solutions that a report shows, token by token."""

from collections.abc import Iterator
from itertools import islice

from cruxtune.counterfactual import Task
from cruxtune.recipe import Recipe
from cruxtune.recipe.rules import StrictRule
from cruxtune.recipe.uses import rules_on_evidence
from cruxtune.records import Criticality, Rollout
from cruxtune.report.content import ShownAlternative, ShownSolution, ShownToken
from cruxtune.select import gather_evidence, strict
from cruxtune.stages.evidence import num_gaps, stored_tasks
from cruxtune.stages.workspace import Workspace


def shown_solutions(space: Workspace) -> Iterator[ShownSolution]:
    """The first annotated solutions, as the page shows them."""
    rule, has_gaps = marking_rule(space.recipe), num_gaps(space) > 0
    for task in islice(stored_tasks(space), space.recipe.report.num_solutions):
        (evidence,) = gather_evidence([task.solution], task.rollouts, has_gaps)
        yield _shown(task, strict(evidence, rule.k, rule.min_alternative_prob))


def marking_rule(recipe: Recipe) -> StrictRule:
    """The recipe's first Strict rule; Strict-k over all of the evidence where it has none."""
    rules = [rule for rule in rules_on_evidence(recipe.select).values() if isinstance(rule, StrictRule)]
    return rules[0] if rules else StrictRule(k=recipe.annotate.k)


def _shown(task: Task, criticality: list[Criticality]) -> ShownSolution:
    tokens = tuple(
        ShownToken(
            text=position.text,
            criticality=criticality[position.position],
            probability=position.probability,
            entropy=position.entropy,
            alternatives=tuple(
                _alternative(r) for r in task.rollouts if r.branch.position == position.position
            ),
        )
        for position in task.positions
    )
    return ShownSolution(task.solution.id, task.problem.question, task.problem.answer, tokens)


def _alternative(rollout: Rollout) -> ShownAlternative:
    return ShownAlternative(
        rank=rollout.branch.rank,
        text=rollout.token_text,
        probability=rollout.branch.probability,
        continuation=rollout.continuation.text,
        answer=rollout.grade.answer,
        verdict=rollout.grade.verdict,
    )
