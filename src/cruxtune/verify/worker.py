"""The process that does algebra: one JSON line in, one out, until its input ends.

Nothing that it reads is ever evaluated as Python.
"""

import json
import os
import resource
import signal
import sys
from typing import TextIO


def main(timeout: float, max_memory_bytes: int) -> None:
    """Answer `[reference, answer]` lines with `true` or `false`; `null` and the end where memory ran out.

    The parent kills a late worker; the alarm ends it even where the parent itself was killed.
    """
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from cruxtune.verify.algebra import equal_by_algebra

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="ascii")
    _silence(sys.stdout.fileno(), sys.stderr.fileno(), ready=answers)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, timeout + 1)
        try:
            verdict = equal_by_algebra(*json.loads(line))
        except (MemoryError, RecursionError):
            verdict = None
        except Exception:
            verdict = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(verdict), file=answers)
        if verdict is None:
            break


def _silence(*descriptors: int, ready: TextIO) -> None:
    """Say that all is imported, then drop whatever parsers print, so that answers stay alone."""
    print("ready", file=ready)
    sink = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(sink, descriptor)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
