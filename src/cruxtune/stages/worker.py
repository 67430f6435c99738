"""A process with an engine and a verifier of its own, which asks its parent for work as it needs it."""

import contextlib
import logging
import logging.handlers
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from cruxtune.errors import CruxtuneError
from cruxtune.models import ModelFiles
from cruxtune.recipe import Recipe
from cruxtune.stages.crew import Alone
from cruxtune.stages.jobs import Job
from cruxtune.stages.resources import open_verifier

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is told when it starts."""

    recipe: Recipe
    files: ModelFiles
    index: int
    """Its place among the workers of this machine."""
    num_workers: int


class Line(Connection):
    """To the parent; threads that log and the one that works may speak at the same time."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        with self._lock:
            super().send(message)


def main(descriptor: int) -> None:
    """Do what comes in until the parent is gone."""
    connection = Line(descriptor)
    logging.getLogger().addHandler(_Reporter(connection))
    with contextlib.suppress(EOFError, ConnectionError):
        _serve(connection, connection.recv())


def _serve(connection: Connection, post: Post) -> None:
    memory_share = take_device(post.index, post.num_workers)
    with open_verifier(post.recipe) as verifier:
        alone = Alone(post.recipe, post.files, verifier, memory_share)
        while True:
            _do(connection, alone, *connection.recv())


def take_device(index: int, num_workers: int) -> float:
    """See only this worker's GPU, if there are any; returns the worker's share of its device's memory."""
    devices = _devices()
    if not devices:
        return 1 / num_workers
    os.environ[VISIBLE] = devices[index % len(devices)]
    return 1 / -(-num_workers // len(devices))


def _do(connection: Connection, alone: Alone, open_work: Any, job_type: type[Job]) -> None:
    try:
        for piece in job_type.flow(alone.open(open_work), _pulled(connection)):
            connection.send(("piece", piece))
    except ConnectionError:
        raise
    except Exception as error:
        connection.send(("error", _portable(error)))
    else:
        connection.send(("done", None))


def _pulled(connection: Connection) -> Iterator[Any]:
    """Items of work, each asked for when it is needed."""
    while True:
        connection.send(("next", None))
        item = connection.recv()
        if item is None:
            return
        yield item


def _portable(error: Exception) -> Exception:
    """A mistake of the user as it is; anything else with the traceback of this process."""
    return (
        error
        if isinstance(error, CruxtuneError)
        else RuntimeError("".join(traceback.format_exception(error)))
    )


def _devices() -> Sequence[str]:
    """The GPUs that this process may use, by their names in CUDA_VISIBLE_DEVICES."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


class _Reporter(logging.handlers.QueueHandler):
    """Hands log records to the parent."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)  # type: ignore[arg-type]

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send(("log", record))  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(int(sys.argv[1]))
