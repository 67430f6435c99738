"""One recipe's output directory: where each stage lives and what it must have been made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from cruxtune.errors import ArtifactError
from cruxtune.models import ModelFiles, find_model
from cruxtune.problems import hold_out
from cruxtune.recipe import Recipe
from cruxtune.recipe.sources import ProblemSource
from cruxtune.records import Problem
from cruxtune.stages.resources import load_problems
from cruxtune.stages.terms import Terms
from cruxtune.store import Manifest, ModelIdentity, installed_versions, read_manifest, require_same
from cruxtune.store.files import hash_values

SHARDS = "shards"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage has to show."""

    directories: tuple[Path, ...]
    """All that the stage consists of, complete."""
    made: tuple[Path, ...]
    """Those that this call completed; the others were there already."""
    note: str = ""
    """What is to be known of it: that it was stopped, and how to go on."""

    @property
    def is_usable(self) -> bool:
        """Whether the next stage has something to work on."""
        return bool(self.made) or not self.note


class Workspace:
    """Paths and manifests for one recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._problems: dict[str, list[Problem]] = {}

    @cached_property
    def model(self) -> ModelFiles:
        return find_model(self.recipe.model.name, self.recipe.model.revision)

    @cached_property
    def identity(self) -> ModelIdentity:
        return identity_of(self.model)

    def path(self, *parts: str) -> Path:
        return self.recipe.output_dir.joinpath(*parts)

    def problems(self, source: ProblemSource) -> list[Problem]:
        """The problems that a section names, loaded once."""
        key = source.model_dump_json()
        if key not in self._problems:
            self._problems[key] = load_problems(source)
        return self._problems[key]

    @property
    def training_problems(self) -> list[Problem]:
        """Those of [problems], without what [validation] holds out."""
        return self._split[0]

    @property
    def validation_problems(self) -> list[Problem]:
        """What [validation] holds out."""
        return self._split[1]

    @cached_property
    def held_out_ids(self) -> frozenset[str]:
        """Of all problems that ask what [validation] holds out, under whatever id."""
        trained = {problem.id for problem in self.training_problems}
        return frozenset(p.id for p in self.problems(self.recipe.problems)) - trained

    @cached_property
    def _split(self) -> tuple[list[Problem], list[Problem]]:
        problems, section = self.problems(self.recipe.problems), self.recipe.validation
        return hold_out(problems, section.num_problems, section.seed) if section else (problems, [])

    def manifest(
        self,
        stage: str,
        settings: dict[str, Any],
        inputs: Mapping[Path, Manifest],
        problems: Sequence[Problem] | None = None,
    ) -> Manifest:
        """What a directory of this stage must say; raises where an input is not there or not the right one.

        `inputs` maps each directory that is read to what it must have been made from. Problems are an
        input too: an edited file is not the file that was solved.
        """
        for path, wanted in inputs.items():
            self._require_merged(path)
            require_same(path, wanted)
        digests = {self.name_of(path): read_manifest(path).digest for path in inputs}
        if problems is not None:
            digests["problems"] = hash_values(repr(problem) for problem in problems)
        return Manifest(
            stage=stage,
            settings=settings,
            model=self.identity,
            inputs=digests,
            versions=installed_versions(),
        )

    def place(self, terms: Terms, directory: Path, wanted: Manifest) -> tuple[Path, Manifest]:
        """Where a stage writes, and what that must say: a shard has a directory of its own."""
        if terms.shard is None:
            return directory, wanted
        name, shard = self.name_of(directory), terms.shard
        settings = {**wanted.settings, "shard": {"of": name, "index": shard.index, "count": shard.count}}
        return self.path(SHARDS, name, shard.name), wanted.model_copy(update={"settings": settings})

    def _require_merged(self, directory: Path) -> None:
        shards = self.path(SHARDS, self.name_of(directory))
        if shards.is_dir() and not (directory / "manifest.json").exists():
            raise ArtifactError(f"{directory} is missing, but {shards} is there: run `merge` first")

    def name_of(self, directory: Path) -> str:
        """A stage directory's path inside the output directory, the same on every machine."""
        return directory.relative_to(self.recipe.output_dir).as_posix()

    def numerics(self) -> dict[str, Any]:
        """The settings that every number out of the model depends on."""
        return self.recipe.model.model_dump(mode="json", include={"dtype", "attn_implementation"})


@cache
def identity_of(files: ModelFiles) -> ModelIdentity:
    """Hashed once a process: weights are large, and every stage asks."""
    return files.identity()
