"""What goes into the counterfactual test and what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cruxtune.records import Position, Problem, Rollout, Solution


@dataclass(frozen=True, slots=True)
class Task:
    """A solution to annotate, with the evidence that an earlier run left on it."""

    problem: Problem
    solution: Solution
    positions: Sequence[Position] = ()
    """All of them, or none where the solution was never begun."""
    rollouts: Sequence[Rollout] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What annotation has found out since it was last heard of."""

    positions: list[Position] = field(default_factory=list)
    """Of the solutions that were begun."""
    rollouts: list[Rollout] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    """Ids of the solutions on which there is nothing left to find out."""
    too_long: list[str] = field(default_factory=list)
    """Those of them that the engine's context can't hold: nothing is found out on them."""
