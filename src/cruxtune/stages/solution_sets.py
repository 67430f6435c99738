"""The sets of solutions that selections are made on, and how each is read: greedy, sampled, gathered."""

from collections.abc import Iterable
from pathlib import Path

from cruxtune.errors import ArtifactError
from cruxtune.records import Origin, Sample, Solution, Verdict
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evidence import annotated_solutions
from cruxtune.stages.gather import gather_manifest
from cruxtune.stages.sample import sample_manifest
from cruxtune.stages.workspace import Workspace
from cruxtune.store import Manifest, read_records


def read_set(space: Workspace, name: str) -> list[Solution]:
    """The solutions of one set, right ones only; of the greedy ones those with evidence."""
    if name == Origin.GREEDY:
        return annotated_solutions(space)
    directory = directory_of(space, name)
    if name == Origin.SAMPLED:
        solutions = [sample.solution for sample in read_records(directory, Sample)]
    else:
        solutions = list(read_records(directory, Solution))
    right = [solution for solution in solutions if solution.grade.verdict is Verdict.CORRECT]
    if not right:
        raise ArtifactError(
            f"none of the {len(solutions)} solutions in {directory} is correct, so there is nothing to "
            "select: look at the verdicts that its stage counted"
        )
    return right


def directory_of(space: Workspace, name: str) -> Path:
    """Where a set of solutions is, with its problems where they are not those of `solve/`."""
    verbs = {str(Origin.GREEDY): ("annotate",), str(Origin.SAMPLED): ("sample",)}
    return space.path(*verbs.get(name, ("gather", name)))


def set_inputs(space: Workspace, names: Iterable[str]) -> dict[Path, Manifest]:
    """What must be there for some sets, and what it must have been made from."""
    return {directory_of(space, name): _manifest(space, name) for name in names}


def _manifest(space: Workspace, name: str) -> Manifest:
    if name == Origin.GREEDY:
        return annotate_manifest(space)
    return sample_manifest(space) if name == Origin.SAMPLED else gather_manifest(space, name)
