"""A whole run as one frozen value."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from cruxtune.errors import RecipeError
from cruxtune.recipe.engines import EngineSection, TrunkEngineSettings
from cruxtune.recipe.references import rules_behind
from cruxtune.recipe.rules import AlternativesRule, GradedRule, Selection, UnionRule
from cruxtune.recipe.sections import (
    AnnotateSection,
    ClusterSection,
    EvaluateSection,
    ModelSection,
    PromptSection,
    ReportSection,
    SolveSection,
    TrainSection,
    VerifySection,
)
from cruxtune.recipe.settings import Name, Settings
from cruxtune.recipe.sources import ProblemSource


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
    annotate: AnnotateSection = AnnotateSection()
    select: dict[Name, Selection] = Field(min_length=1)
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection
    report: ReportSection = ReportSection()

    @field_validator("engine", mode="before")
    @classmethod
    def _trunk_is_the_default(cls, section: Any) -> Any:
        return {"type": "trunk", **section} if isinstance(section, dict) else section

    @model_validator(mode="after")
    def _methods_are_told_apart(self) -> Self:
        if "base" in self.select:
            raise ValueError("select.base: that is what reports call the base model; choose another name")
        for key in ("selections", "seeds"):
            values = getattr(self.train, key)
            if len(set(values)) < len(values):
                raise ValueError(f"train.{key} names the same twice: {', '.join(map(str, values))}")
        return self

    @model_validator(mode="after")
    def _selections_exist(self) -> Self:
        for name in self.train.selections:
            if name not in self.select:
                raise ValueError(
                    f"train.selections names {name!r}, which is not under [select]: {_names(self)}"
                )
        return self

    @model_validator(mode="after")
    def _objectives_are_used(self) -> Self:
        for name in self.train.objectives:
            if name not in self.train.selections:
                raise ValueError(
                    f"train.objectives names {name!r}, which is not in train.selections: "
                    f"{', '.join(self.train.selections)}"
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
    def _evidence_suffices(self) -> Self:
        for name in self.select:
            for used, rule in _rules_behind(self, name):
                if isinstance(rule, AlternativesRule):
                    _require_evidence(self, used if used in self.select else f"{name}: {used}", rule)
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.train.batch_size % self.train.micro_batch_size:
            raise ValueError(
                f"train.batch_size = {self.train.batch_size} is not a multiple of "
                f"train.micro_batch_size = {self.train.micro_batch_size}"
            )
        return self


def _names(recipe: Recipe) -> str:
    return ", ".join(recipe.select)


def _rules_behind(recipe: Recipe, name: str) -> list[tuple[str, Selection]]:
    try:
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
