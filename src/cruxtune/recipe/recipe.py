"""A whole run as one frozen value."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from cruxtune.errors import RecipeError
from cruxtune.recipe.engines import EngineSection, TrunkEngineSettings
from cruxtune.recipe.rules import AlternativesRule, GradedRule, Selection, UnionRule
from cruxtune.recipe.sections import (
    AnnotateSection,
    ClusterSection,
    EvaluateSection,
    ModelSection,
    PromptSection,
    ReportSection,
    SampleSection,
    SolveSection,
    VerifySection,
)
from cruxtune.recipe.settings import Name, Settings
from cruxtune.recipe.sources import ProblemSource, SolutionSource
from cruxtune.recipe.suiting import require_one_count, require_solutions
from cruxtune.recipe.sweep import SweepSection, ValidationSection
from cruxtune.recipe.teachers import selections_behind, teachers_of
from cruxtune.recipe.training import TrainSection, require_whole_batches
from cruxtune.recipe.uses import OWN_SETS, Use, require_apart, rules_behind


class Recipe(Settings):
    """Everything that a run depends on."""

    name: Name
    output_dir: Path
    model: ModelSection = ModelSection()
    engine: EngineSection = TrunkEngineSettings()
    cluster: ClusterSection = ClusterSection()
    problems: ProblemSource
    prompt: PromptSection = PromptSection()
    verify: VerifySection = VerifySection()
    solve: SolveSection = SolveSection()
    sample: SampleSection = SampleSection()
    annotate: AnnotateSection = AnnotateSection()
    solutions: dict[Name, SolutionSource] = Field(default={})
    select: dict[Name, Selection] = Field(min_length=1)
    train: TrainSection = TrainSection()
    validation: ValidationSection | None = None
    sweep: SweepSection | None = None
    evaluate: EvaluateSection
    report: ReportSection = ReportSection()

    @field_validator("engine", mode="before")
    @classmethod
    def _trunk_is_the_default(cls, section: Any) -> Any:
        return {"type": "trunk", **section} if isinstance(section, dict) else section

    @model_validator(mode="after")
    def _methods_are_told_apart(self) -> Self:
        for section, names in (("select", self.select), ("train.methods", self.train.methods)):
            if "base" in names:
                raise ValueError(
                    f"{section}.base: that is what reports call the base model; choose another name"
                )
        named = {"train.selections": self.train.selections, "train.seeds": self.train.seeds}
        if self.sweep:
            named |= {"sweep.methods": self.sweep.methods or (), "sweep.seeds": self.sweep.seeds}
        for key, values in named.items():
            if len(set(values)) < len(values):
                raise ValueError(f"{key} names the same twice: {', '.join(map(str, values))}")
        return self

    @model_validator(mode="after")
    def _methods_exist(self) -> Self:
        for name in self.train.selections:
            _require_method(self, name, "train.selections")
        for name, method in self.train.methods.items():
            _require_method(self, method.after or name, f"train.methods.{name}.after")
        for name in (*self.train.selections, *self.train.methods):
            selection = self.train.selection_of(name)
            if selection not in self.select:
                raise ValueError(
                    f"train.methods.{name} trains on {selection!r}, which is not under [select]: "
                    f"{_names(self)}; set its `selection`"
                )
        return self

    @model_validator(mode="after")
    def _baseline_is_evaluated(self) -> Self:
        known = ("base", *self.train.selections)
        if self.report.baseline not in (None, *known):
            raise ValueError(
                f"report.baseline names {self.report.baseline!r}, which is not evaluated: {', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _solutions_are_told_apart(self) -> Self:
        for name in OWN_SETS:
            if name in self.solutions:
                raise ValueError(f"solutions.{name}: these are the model's own; choose another name")
        return self

    @model_validator(mode="after")
    def _selections_can_be_made(self) -> Self:
        for name in self.select:
            for used, rule, sets in _rules_behind(self, name):
                called = used if used in self.select else f"{name}: {used}"
                require_solutions(called, rule, sets, self.solutions, self.sample.num_tries)
                if isinstance(rule, AlternativesRule) and OWN_SETS[0] in sets:
                    _require_evidence(self, called, rule)
            require_one_count(name, self.select)
        return self

    @model_validator(mode="after")
    def _teachers_come_first(self) -> Self:
        try:
            teachers_of(self.select, self.train)
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        for name in ("", *self.train.methods):
            require_whole_batches(self.train.of(name), f"train.methods.{name}" if name else "train")
        return self

    @model_validator(mode="after")
    def _sweep_can_choose(self) -> Self:
        if self.sweep is None:
            return self
        if self.validation is None:
            raise ValueError("[sweep] chooses on held-out problems: add [validation] with num_problems")
        trained = self.train.trained
        for method in self.sweep.methods or self.train.selections:
            if method not in trained:
                raise ValueError(
                    f"sweep.methods names {method!r}, which is not trained: {', '.join(trained)}"
                )
            self.sweep.require_trainable(method, self.train.of(method))
        return self

    @property
    def swept(self) -> tuple[str, ...]:
        """The methods whose settings a sweep chooses, of those that are trained."""
        named = (self.sweep.methods or self.train.selections) if self.sweep else ()
        return tuple(method for method in named if method in self.train.trained)

    def teachers(self) -> "list[Recipe]":
        """For each run whose checkpoint a selection asks: the recipe of that run alone, in their order."""
        return [
            self.model_copy(
                update={
                    "select": selections_behind(method, self.select, self.train),
                    "train": self.train.model_copy(update={"selections": (method,), "seeds": (seed,)}),
                }
            )
            for method, seed in teachers_of(self.select, self.train)
        ]


def _names(recipe: Recipe) -> str:
    return ", ".join(recipe.select)


def _require_method(recipe: Recipe, name: str, key: str) -> None:
    known = dict.fromkeys((*recipe.select, *recipe.train.methods))
    if name not in known:
        raise ValueError(
            f"{key} names {name!r}, which is neither under [select] nor in train.methods: {', '.join(known)}"
        )


def _rules_behind(recipe: Recipe, name: str) -> list[Use]:
    try:
        require_apart(name, recipe.select)
        return list(rules_behind(name, recipe.select))
    except RecipeError as error:
        raise ValueError(str(error)) from error


def _require_evidence(recipe: Recipe, name: str, rule: AlternativesRule) -> None:
    if rule.k > recipe.annotate.k:
        raise ValueError(
            f"select.{name}.k = {rule.k} is above annotate.k = {recipe.annotate.k}: raise the latter"
        )
    if isinstance(rule, UnionRule | GradedRule) and rule.k > 2 and recipe.annotate.mode == "lazy":
        raise ValueError(
            f"select.{name} is {rule.type!r}, which needs every alternative: set annotate.mode = 'eager'"
        )
