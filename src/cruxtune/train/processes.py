"""Which of the processes that `torchrun` or `accelerate launch` started this one is."""

import os


def num_processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """The one that writes files."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_everyone() -> None:
    """Go on when all processes have come here: what the main one wrote is there."""
    if num_processes() == 1:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()


def leave_group() -> None:
    """Part from the other processes before the interpreter ends; without it their threads can abort it."""
    if num_processes() == 1:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
