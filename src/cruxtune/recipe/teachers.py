"""Runs of a recipe whose checkpoints its own selections ask: they are trained before the others."""

from collections.abc import Iterator

from cruxtune.errors import RecipeError
from cruxtune.recipe.counted import ComparedTokens
from cruxtune.recipe.references import Rules
from cruxtune.recipe.rules import Selection
from cruxtune.recipe.training import TrainSection
from cruxtune.recipe.uses import Use, rules_behind

Teacher = tuple[str, int]
"""A method and a seed."""


def find_teacher(model: str, rules: Rules, train: TrainSection) -> Teacher | None:
    """The run of this recipe that a name means, such as `cft-seed0`; None where it is a model elsewhere."""
    method, _, seed = model.rpartition("-seed")
    is_known = method in rules or method in train.methods
    return (method, int(seed)) if is_known and seed.isdecimal() else None


def teachers_of(rules: Rules, train: TrainSection) -> list[Teacher]:
    """All that the selections ask, each behind those that it was itself selected with."""
    return list(dict.fromkeys(t for name in rules for t in _teachers_behind(name, rules, train, ())))


def selections_behind(method: str, rules: Rules, train: TrainSection) -> Rules:
    """All that a method is trained on, what that is made of, and what its teachers are trained on."""
    used: set[str] = set()
    for name, rule, _ in _trained_on(method, rules, train):
        used.add(name)
        if teacher := _teacher(rule, rules, train):
            used |= selections_behind(teacher[0], rules, train).keys()
    return {name: rule for name, rule in rules.items() if name in used}


def _teachers_behind(
    name: str, rules: Rules, train: TrainSection, path: tuple[str, ...]
) -> Iterator[Teacher]:
    if name in path:
        raise RecipeError(f"select.{name} asks a model that is trained on it: {' → '.join((*path, name))}")
    for _, rule, _ in rules_behind(name, rules):
        if teacher := _teacher(rule, rules, train):
            for other in dict.fromkeys(use.name for use in _trained_on(teacher[0], rules, train)):
                if other in rules:
                    yield from _teachers_behind(other, rules, train, (*path, name))
            yield teacher


def _trained_on(method: str, rules: Rules, train: TrainSection) -> Iterator[Use]:
    """The selections of a method and of those whose checkpoints it starts from, and what they are made of."""
    for stage in train.line(method):
        yield from rules_behind(train.selection_of(stage), rules)


def _teacher(rule: Selection, rules: Rules, train: TrainSection) -> Teacher | None:
    return find_teacher(rule.model, rules, train) if isinstance(rule, ComparedTokens) else None
