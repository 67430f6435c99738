"""Shards: shares of a stage in directories of their own, and how they are put together."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cruxtune.errors import ArtifactError
from cruxtune.recipe import Recipe
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evaluate import directory_of, evaluate_counts, evaluate_manifest, evaluations
from cruxtune.stages.evidence import annotate_counts, wanted_solutions
from cruxtune.stages.sample import missed_problems, sample_counts, sample_manifest
from cruxtune.stages.solve import solve_counts, solve_manifest
from cruxtune.stages.workspace import SHARDS, StageResult, Workspace
from cruxtune.store import (
    Manifest,
    StageWriter,
    difference,
    difference_of_models,
    is_complete,
    parts_of,
    require_intact,
)
from cruxtune.store.files import write_atomically

Wanted = tuple[Manifest, Callable[[Path], dict[str, float]]]
"""What a merged directory must say, and how its numbers are counted."""


def merge(recipe: Recipe, folders: Sequence[Path] = ()) -> StageResult:
    """Put together what `--shard` runs wrote: the result is that of one process, byte for byte.

    Shards are looked for under `shards/` of the output directory, or under the folders that are named.
    """
    space = Workspace(recipe)
    places = [*folders] or [space.path(SHARDS)]
    found = find_shards(places)
    if not found:
        raise ArtifactError(
            f"there are no shards under {', '.join(map(str, places))}: run solve, sample, annotate or "
            "evaluate with --shard first, or name the folders that hold them"
        )
    made = [name for name, wanted in _targets(space, found) if _merge(space, name, wanted(), found[name])]
    return StageResult(tuple(space.path(name) for name in found), tuple(space.path(name) for name in made))


def find_shards(folders: Iterable[Path]) -> dict[str, list[tuple[Path, Manifest]]]:
    """All shards under some folders, by the directory that they are shards of."""
    found: dict[str, list[tuple[Path, Manifest]]] = defaultdict(list)
    for path in sorted({path.resolve() for folder in folders for path in folder.rglob("manifest.json")}):
        manifest = Manifest.read(path.parent)
        if manifest is not None and "shard" in manifest.settings:
            found[manifest.settings["shard"]["of"]].append((path.parent, manifest))
    return found


def _targets(space: Workspace, names: Iterable[str]) -> Iterator[tuple[str, Callable[[], Wanted]]]:
    """The directories that can be merged, in the order in which they read each other."""
    recipe = space.recipe
    everything: dict[str, Callable[[], Wanted]] = {
        "solve": lambda: (solve_manifest(space), _solve_counter(space)),
        "sample": lambda: (sample_manifest(space), _sample_counter(space)),
        "annotate": lambda: (annotate_manifest(space), _annotate_counter(space)),
    }
    for item in evaluations(recipe):
        everything[space.name_of(directory_of(space, item))] = lambda item=item: (  # type: ignore[misc]
            evaluate_manifest(space, item),
            _evaluate_counter(space, item.benchmark),
        )
    if unknown := set(names) - set(everything):
        raise ArtifactError(
            f"there are shards of {', '.join(sorted(unknown))}, which the recipe doesn't make"
        )
    return ((name, wanted) for name, wanted in everything.items() if name in names)


def _solve_counter(space: Workspace) -> Callable[[Path], dict[str, float]]:
    parts = parts_of(space.training_problems, space.recipe.solve.part_size)
    indices = [index for index, _ in parts]
    return lambda directory: solve_counts(directory, indices)


def _sample_counter(space: Workspace) -> Callable[[Path], dict[str, float]]:
    settings = space.recipe.sample
    indices = [index for index, _ in parts_of(missed_problems(space), settings.part_size)]
    return lambda directory: sample_counts(directory, indices, settings.num_tries)


def _annotate_counter(space: Workspace) -> Callable[[Path], dict[str, float]]:
    solutions = wanted_solutions(space)
    parts = list(parts_of(solutions, space.recipe.annotate.part_size))
    return lambda directory: annotate_counts(directory, parts, len(solutions))


def _evaluate_counter(space: Workspace, benchmark: str) -> Callable[[Path], dict[str, float]]:
    settings = space.recipe.evaluate
    parts = parts_of(space.problems(settings.benchmarks[benchmark]), settings.part_size)
    indices = [index for index, _ in parts]
    return lambda directory: evaluate_counts(directory, indices)


def _merge(space: Workspace, name: str, wanted: Wanted, shards: Sequence[tuple[Path, Manifest]]) -> bool:
    """Write one directory from its shards; False where it is there already."""
    manifest, count = wanted
    _require_all(name, manifest, shards)
    directory = space.path(name)
    if is_complete(directory, manifest):
        return False
    for _, shard in shards:
        manifest = manifest.going_on_from(shard)
    with StageWriter(directory, manifest) as writer:
        for path, shard in shards:
            require_intact(path)
            for part in shard.parts:
                _copy(path / part.file, directory / part.file)
        writer.finish(count(directory))
    return True


def _copy(source: Path, target: Path) -> None:
    def copy(file: Path) -> None:
        shutil.copyfile(source, file)

    write_atomically(target, copy)


def _require_all(name: str, wanted: Manifest, shards: Sequence[tuple[Path, Manifest]]) -> None:
    """Raises where a shard is missing, there twice, not complete, or made from something else."""
    by_index: dict[int, Path] = {}
    (first, one), count = shards[0], shards[0][1].settings["shard"]["count"]
    for path, manifest in shards:
        shard = manifest.settings["shard"]
        if shard["count"] != count:
            raise ArtifactError(
                f"{first} is one of {count} shards, {path} one of {shard['count']}: "
                "name the folders of one kind"
            )
        if shard["index"] in by_index:
            raise ArtifactError(
                f"shard {shard['index']}/{count} is there twice: {by_index[shard['index']]}, {path}"
            )
        if what := difference_of_models(one, manifest):
            raise ArtifactError(f"{first} and {path} can't be merged: {what}. Token ids belong to one model")
        if what := difference(_without_shard(manifest), wanted):
            raise ArtifactError(f"{path} {what}: it can't be merged")
        by_index[shard["index"]] = path
    complete = {shard.settings["shard"]["index"] for _, shard in shards if shard.complete}
    if missing := [f"{index}/{count}" for index in range(count) if index not in complete]:
        raise ArtifactError(
            f"shard {', '.join(missing)} of {name} is missing or not complete: "
            f"run `{name.split('/')[0]}` with --shard {missing[0]}"
        )


def _without_shard(manifest: Manifest) -> Manifest:
    settings: dict[str, Any] = {key: value for key, value in manifest.settings.items() if key != "shard"}
    return manifest.model_copy(update={"settings": settings})
