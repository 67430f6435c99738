"""Which of the processes that `torchrun` or `accelerate launch` started this one is."""

import os


def num_processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """The one that writes files."""
    return os.environ.get("RANK", "0") == "0"
