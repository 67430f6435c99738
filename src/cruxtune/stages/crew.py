"""Who does a stage's work: an engine and a verifier in this process, several in others, or a cluster."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from typing import Any, Protocol

from cruxtune.counterfactual import Evidence, Task
from cruxtune.engines import Engine
from cruxtune.models import ModelFiles
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.records import Problem
from cruxtune.stages.resources import open_engine, open_verifier
from cruxtune.stages.terms import Terms
from cruxtune.store import StageWriter, num_items
from cruxtune.verify import Verifier

Part = tuple[int, Sequence[Problem]]
OpenWork = Callable[[Recipe, Engine, Verifier], Callable[..., Any]]
"""Gives what does the work, once there are an engine and a verifier."""


class Crew(Protocol):
    """Does work around one model; where and by how many is its own affair."""

    def each(
        self, open_work: OpenWork, parts: Sequence[Part]
    ) -> Generator[tuple[int, list[Any]], None, None]:
        """The number of each part and what came of it, in any order: `work(index, problems)`."""
        ...

    def annotate(
        self, open_work: OpenWork, tasks: Iterable[Task], num_tasks: int
    ) -> Generator[Evidence, None, None]:
        """Evidence as it comes, of many solutions at a time: `work(tasks)`."""
        ...


class Alone:
    """One engine, in this process; it is opened when there is work."""

    def __init__(
        self, recipe: Recipe, files: ModelFiles, verifier: Verifier, memory_share: float = 1.0
    ) -> None:
        self._recipe = recipe
        self._files = files
        self._verifier = verifier
        self._memory_share = memory_share

    def each(
        self, open_work: OpenWork, parts: Sequence[Part]
    ) -> Generator[tuple[int, list[Any]], None, None]:
        work = self.open(open_work)
        for index, problems in parts:
            yield index, work(index, problems)

    def annotate(
        self, open_work: OpenWork, tasks: Iterable[Task], num_tasks: int
    ) -> Generator[Evidence, None, None]:
        yield from self.open(open_work)(tasks)

    def open(self, open_work: OpenWork) -> Callable[..., Any]:
        return open_work(self._recipe, self._engine, self._verifier)

    @cached_property
    def _engine(self) -> Engine:
        return open_engine(self._recipe, self._files, self._memory_share)


@contextmanager
def open_crew(recipe: Recipe, files: ModelFiles, terms: Terms) -> Iterator[Crew]:
    """The crew that the terms ask for."""
    if terms.on_ray:
        from cruxtune.stages.cluster import open_ray

        with open_ray(recipe, files) as crew:
            yield crew
        return
    if terms.num_workers:
        from cruxtune.stages.processes import open_processes

        with open_processes(recipe, files, terms.num_workers) as crew:
            yield crew
        return
    with open_verifier(recipe) as verifier:
        yield Alone(recipe, files, verifier)


def write_parts(
    crew: Crew,
    open_work: OpenWork,
    writer: StageWriter,
    parts: Sequence[Part],
    record_type: Any,
    label: str,
    terms: Terms,
) -> int:
    """Write problems and results of every missing part; returns how many problems are left."""
    missing, done = writer.missing_parts(parts, record_type)
    left = num_items(missing)
    if not missing or terms.is_over:
        return left
    problems = dict(missing)
    with closing(crew.each(open_work, missing)) as stream, progress_bar(label, done + left, done) as bar:
        for index, records in stream:
            writer.write_part(index, Problem, problems[index])
            writer.write_part(index, record_type, records)
            bar.advance(len(problems[index]))
            left -= len(problems[index])
            if terms.is_over:
                break
    return left
