"""The command line: parses, calls, prints. torch is imported only inside a command that needs it."""

import logging
import os
import signal
import sys

from cruxtune.cli import init, inspection, merge, plan, recheck, relabel, stages
from cruxtune.cli.application import app
from cruxtune.errors import CruxtuneError

__all__ = ["app", "init", "inspection", "main", "merge", "plan", "recheck", "relabel", "stages"]


def main() -> None:
    """Run the command line; mistakes of the user are one line, bugs keep their traceback."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.WARNING, format="cruxtune: %(message)s")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except CruxtuneError as error:
        print(f"cruxtune: error: {error}", file=sys.stderr)
        sys.exit(1)


def _interrupt(*_: object) -> None:
    """A scheduler that takes its machine back gets the clean stop of a Ctrl-C."""
    raise KeyboardInterrupt
