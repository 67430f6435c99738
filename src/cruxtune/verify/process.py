"""The parent's end of the algebra process: asked, timed, killed and replaced.

A plain child process rather than a multiprocessing pool: it inherits no threads, does not import the
caller's main script again, and holds no lock that a kill could leave locked.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from typing import IO

DEFAULT_TIMEOUT = 3.0
DEFAULT_MAX_MEMORY_BYTES = 2**30
_START_TIMEOUT = 60.0
"""Seconds for the imports of a new process, on a busy machine."""


class AlgebraProcess:
    """Compares expressions in a process of its own, started by the first question.

    A question that takes longer than `timeout` seconds, or more than `max_memory_bytes` of address
    space, has no verdict; the next one gets a new process. Safe to share between threads.
    """

    def __init__(
        self, timeout: float = DEFAULT_TIMEOUT, max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES
    ) -> None:
        self.timeout = timeout
        self.max_memory_bytes = max_memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, reference: str, answer: str) -> bool | None:
        """Whether the expressions are equal; None where time or memory ran out.

        A process that dies is asked once more: something else may have killed it.
        """
        question = json.dumps([reference, answer]).encode() + b"\n"
        with self._lock:
            for _ in range(2):
                try:
                    return _exchange(self._running(), question, self.timeout)
                except EOFError:
                    self._kill()
                except TimeoutError:
                    self._kill()
                    break
                except BaseException:
                    self._kill()  # its verdict would be taken for that of the next question
                    raise
        return None

    def close(self) -> None:
        """End the process; a later question would start another."""
        with self._lock:
            self._kill()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            self._process = _start(self.timeout, self.max_memory_bytes)
            self._finalizer = weakref.finalize(self, _end, self._process)
        return self._process

    def _kill(self) -> None:
        if self._process is not None:
            self._finalizer()
            self._process = None


def _start(timeout: float, max_memory_bytes: int) -> subprocess.Popen[bytes]:
    """A process that has imported all it needs.

    It looks for modules where this one does, never in the current directory, and sees no Ctrl-C:
    the parent decides when it ends.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cruxtune.verify.worker", str(timeout), str(max_memory_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
    try:
        _read_line(process, _START_TIMEOUT)
    except (EOFError, TimeoutError):
        process.kill()
        errors = process.communicate()[1].decode(errors="replace").strip()
        message = f"the verifier's process did not start in {max_memory_bytes:,} bytes of memory: {errors}"
        raise RuntimeError(message) from None
    return process


def _exchange(process: subprocess.Popen[bytes], question: bytes, timeout: float) -> bool | None:
    """The process's verdict; raises TimeoutError where it is late and EOFError where it is gone."""
    try:
        _pipe(process.stdin).write(question)
        _pipe(process.stdin).flush()
    except BrokenPipeError as error:
        raise EOFError from error
    return json.loads(_read_line(process, timeout))


def _read_line(process: subprocess.Popen[bytes], timeout: float) -> bytes:
    """One line of the process's output; raises TimeoutError or EOFError where none comes."""
    descriptor, deadline, line = _pipe(process.stdout).fileno(), time.monotonic() + timeout, b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not line.endswith(b"\n"):
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        if not (chunk := os.read(descriptor, 64)):
            raise EOFError
        line += chunk
    return line


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and close its pipes; unsent bytes in them are no error."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(BrokenPipeError):
            _pipe(pipe).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
