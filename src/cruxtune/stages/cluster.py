"""A crew on Ray: one engine an actor. They send what they find out as they go, and only the driver writes."""

import logging
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from cruxtune.counterfactual import Evidence, Task
from cruxtune.errors import ClusterError, CruxtuneError, ModelError
from cruxtune.models import ModelFiles, find_model
from cruxtune.recipe import Recipe
from cruxtune.stages.connection import connected, gpus_of_an_actor, num_actors
from cruxtune.stages.crew import Alone, OpenWork, Part
from cruxtune.stages.jobs import AnnotateJob, Job, PartJob
from cruxtune.stages.resources import open_verifier

logger = logging.getLogger(__name__)

TASKS_PER_ACTOR = 4
"""Where solutions are few: each actor gets about so many groups of them."""


class Member:
    """What runs in an actor: one engine, opened when the first work comes, and one verifier."""

    def __init__(self, recipe: Recipe, files: ModelFiles) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self._recipe = recipe
        self._files = files
        self._verifier = open_verifier(recipe)
        self._alone: Alone | None = None

    def run(self, open_work: OpenWork, job: Job) -> Iterator[Any]:
        """What comes of a job, piece by piece."""
        if self._alone is None:
            self._alone = Alone(self._recipe, _here(self._recipe, self._files), self._verifier)
        yield from job.flow(self._alone.open(open_work), job.left)


class OnRay:
    """A pool of actors; one that dies is replaced, and only what it had not sent is done again."""

    def __init__(self, recipe: Recipe, files: ModelFiles) -> None:
        self._recipe = recipe
        self._files = files
        self._settings = recipe.cluster
        self._num_actors = num_actors(self._settings)
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[Any, Job]] = {}

    def each(
        self, open_work: OpenWork, parts: Sequence[Part]
    ) -> Generator[tuple[int, list[Any]], None, None]:
        jobs = (PartJob([part]) for part in parts)
        yield from self._run(open_work, jobs, len(parts))

    def annotate(
        self, open_work: OpenWork, tasks: Iterable[Task], num_tasks: int
    ) -> Generator[Evidence, None, None]:
        size = num_tasks // (TASKS_PER_ACTOR * self._num_actors)
        size = max(1, min(size, self._settings.solutions_per_task))
        waiting = iter(tasks)
        groups = iter(lambda: list(islice(waiting, size)), [])
        yield from self._run(open_work, map(AnnotateJob, groups), -(-num_tasks // size))

    def close(self) -> None:
        """End the actors."""
        import ray

        for actor in [*self._idle, *(actor for actor, _ in self._running.values())]:
            ray.kill(actor)
        self._idle, self._running = [], {}

    def _run(self, open_work: OpenWork, jobs: Iterator[Job], num_jobs: int) -> Generator[Any, None, None]:
        """What comes of the jobs, in the order in which it comes in."""
        import ray

        again: deque[Job] = deque()
        self._idle += [self._new_actor() for _ in range(min(self._num_actors, num_jobs) - len(self._idle))]
        while True:
            while self._idle and (job := again.popleft() if again else next(jobs, None)):
                self._start(self._idle.pop(), open_work, job)
            if not self._running:
                return
            ready, _ = ray.wait(list(self._running), num_returns=1)
            for stream in ready:
                yield from self._receive(stream, again)

    def _start(self, actor: Any, open_work: OpenWork, job: Job) -> None:
        stream = actor.run.options(num_returns="streaming").remote(open_work, job)
        self._running[stream] = actor, job

    def _receive(self, stream: Any, again: deque[Job]) -> Iterator[Any]:
        """The next piece of a stream, if it has one; after its end the actor is free, or replaced."""
        import ray

        actor, job = self._running[stream]
        try:
            piece = ray.get(next(stream))
        except StopIteration:
            del self._running[stream]
            self._idle.append(actor)
        except ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
            del self._running[stream]
            self.bury(job, error)
            self._idle.append(self._new_actor())
            again.append(job)
        else:
            yield job.receive(piece)

    def bury(self, job: Job, error: Exception) -> None:
        """Take note of an actor that died on a job; raises where too many did."""
        job.num_deaths += 1
        reason = str(error).strip().splitlines()[0]
        if job.num_deaths >= self._settings.max_deaths:
            raise ClusterError(
                f"{job.num_deaths} actors died one after the other on {job}, the last one so: {reason}. "
                "What was found out before is kept. Look at Ray's logs; out of memory is the usual reason"
            ) from error
        logger.warning("an actor died on %s and is replaced: %s", job, reason)

    def _new_actor(self) -> Any:
        import ray

        options = {
            "num_cpus": self._settings.cpus_per_actor,
            "num_gpus": gpus_of_an_actor(self._settings),
            "max_restarts": 0,
        }
        return ray.remote(Member).options(**options).remote(self._recipe, self._files)


@contextmanager
def open_ray(recipe: Recipe, files: ModelFiles) -> Iterator[OnRay]:
    """A pool of actors on the cluster that the recipe or RAY_ADDRESS names, else on one of this machine."""
    with connected(recipe.cluster):
        crew = OnRay(recipe, files)
        try:
            yield crew
        finally:
            crew.close()


def _here(recipe: Recipe, files: ModelFiles) -> ModelFiles:
    """The model's files on the machine of an actor."""
    if files.directory.is_dir():
        return files
    if files.name == recipe.model.name:
        return find_model(recipe.model.name, files.revision)
    raise ModelError(
        f"{files.directory} is not on the machine of a Ray actor: put output_dir where all machines see it"
    )


def _cause(error: Any) -> Exception:
    """A mistake of the user as it would look without Ray; anything else with the actor's traceback."""
    return error.cause if isinstance(error.cause, CruxtuneError) else error
