"""A crew of processes of this machine, one engine each: small models keep every core busy that way."""

import contextlib
import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any

from cruxtune.counterfactual import Evidence, Task
from cruxtune.errors import ClusterError
from cruxtune.models import ModelFiles
from cruxtune.recipe import Recipe
from cruxtune.stages.crew import OpenWork, Part
from cruxtune.stages.jobs import AnnotateJob, Job, PartJob
from cruxtune.stages.worker import Post

logger = logging.getLogger(__name__)

LAST_SECONDS = 10
"""That a worker has left to end in, once it has hung up."""


class Worker:
    """The parent's end of one process.

    It sees no Ctrl-C: the parent decides when it ends. Where the parent is killed, it ends by itself.
    """

    def __init__(self, post: Post) -> None:
        self.connection, other = Pipe()
        command = [sys.executable, "-P", "-m", "cruxtune.stages.worker", str(other.fileno())]
        self.process = subprocess.Popen(
            command,
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            env=_environment(post.num_workers),
            start_new_session=True,
        )
        other.close()
        self.index = post.index
        self.send(post)

    def send(self, message: Any) -> None:
        """Say something; where it is dead, its end of the line says so to the next who listens."""
        with contextlib.suppress(ConnectionError):
            self.connection.send(message)

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.connection.close()

    @property
    def death(self) -> str:
        """What it died of; one that only fell silent is killed."""
        try:
            code = self.process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return f"killed by signal {-code}" if code < 0 else f"it ended with code {code}"


class OnProcesses:
    """So many workers; one that dies is replaced, and only what it had not sent is done again."""

    def __init__(self, recipe: Recipe, files: ModelFiles, num_workers: int) -> None:
        self._recipe = recipe
        self._files = files
        self._num_workers = num_workers
        self._idle: list[Worker] = []
        self._running: dict[Worker, Shift] = {}
        self._said: set[str] = set()

    def each(
        self, open_work: OpenWork, parts: Sequence[Part]
    ) -> Generator[tuple[int, list[Any]], None, None]:
        yield from self._run(open_work, PartJob, parts, len(parts))

    def annotate(
        self, open_work: OpenWork, tasks: Iterable[Task], num_tasks: int
    ) -> Generator[Evidence, None, None]:
        yield from self._run(open_work, AnnotateJob, tasks, num_tasks)

    def close(self) -> None:
        """End the workers."""
        for worker in [*self._idle, *self._running]:
            worker.kill()
        self._idle, self._running = [], {}

    def _run(
        self, open_work: OpenWork, job_type: type[Job], items: Iterable[Any], num_items: int
    ) -> Generator[Any, None, None]:
        """What comes of the items, in the order in which it comes in."""
        waiting = iter(items)
        num_workers = min(self._num_workers, num_items)
        self._idle += [self._new_worker(index) for index in range(len(self._idle), num_workers)]
        while self._idle:
            self._start(self._idle.pop(), Shift(open_work, job_type(), waiting))
        while self._running:
            by_connection = {worker.connection: worker for worker in self._running}
            for connection in wait(list(by_connection)):
                yield from self._listen(by_connection[connection])  # type: ignore[index]

    def _start(self, worker: Worker, shift: "Shift") -> None:
        self._running[worker] = shift
        worker.send((shift.open_work, type(shift.job)))

    def _listen(self, worker: Worker) -> Iterator[Any]:
        """One message of a worker; one that is dead is replaced by another on the same shift."""
        shift = self._running[worker]
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            del self._running[worker]
            self._bury(worker, shift)
            self._start(self._new_worker(worker.index), shift.again())
            return
        if kind == "next":
            worker.send(shift.next())
        elif kind == "piece":
            yield shift.job.receive(content)
        elif kind == "done":
            self._idle.append(worker)
            del self._running[worker]
        elif kind == "log":
            self._repeat(content)
        elif kind == "error":
            raise content

    def _bury(self, worker: Worker, shift: "Shift") -> None:
        """Take note of a worker that died on a job; raises where too many did."""
        shift.job.num_deaths += 1
        reason, where = worker.death, f"on {shift.job}" if shift.job.left else "before it had any work"
        worker.kill()
        if shift.job.num_deaths >= self._recipe.cluster.max_deaths:
            raise ClusterError(
                f"{shift.job.num_deaths} workers died one after the other, the last one {where}: "
                f"{reason}. What was found out before is kept. Out of memory is the usual reason: take fewer "
                "--workers"
            )
        logger.warning("a worker died %s and is replaced: %s", where, reason)

    def _new_worker(self, index: int) -> Worker:
        return Worker(Post(self._recipe, self._files, index, self._num_workers))

    def _repeat(self, record: logging.LogRecord) -> None:
        """What a worker logged; what they all say is said once."""
        text = record.getMessage()
        if text not in self._said:
            self._said.add(text)
            logging.getLogger(record.name).handle(record)


class Shift:
    """What one worker does until no items are waiting: those that a dead one left come first."""

    def __init__(
        self, open_work: OpenWork, job: Job, waiting: Iterator[Any], inherited: Iterable[Any] = ()
    ) -> None:
        self.open_work = open_work
        self.job = job
        self._waiting = waiting
        self._inherited = deque(inherited)

    def next(self) -> Any:
        """The next item, None where there is none."""
        if self._inherited:
            return self._inherited.popleft()
        item = next(self._waiting, None)
        if item is not None:
            self.job.add(item)
        return item

    def again(self) -> "Shift":
        """The same shift for another worker."""
        return Shift(self.open_work, self.job, self._waiting, self.job.left)


@contextmanager
def open_processes(recipe: Recipe, files: ModelFiles, num_workers: int) -> Iterator[OnProcesses]:
    """Workers on this machine; they start when there is work."""
    crew = OnProcesses(recipe, files, num_workers)
    try:
        yield crew
    finally:
        crew.close()


def _num_cores() -> int:
    """That this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment(num_workers: int) -> dict[str, str]:
    """Modules are looked for where this process does; each worker computes on its share of the cores."""
    threads = max(1, _num_cores() // num_workers)
    return {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
