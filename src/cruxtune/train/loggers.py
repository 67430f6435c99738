"""Loggers of transformers: which of them there are, and where they write."""

import shutil
from pathlib import Path
from typing import Any

from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    get_available_reporting_integrations,
)

from cruxtune.errors import RecipeError


def known_loggers(names: tuple[str, ...]) -> list[str] | str:
    """The names for transformers, which says nothing of what is missing until it fails."""
    if unknown := [name for name in names if name not in INTEGRATION_TO_CALLBACK]:
        known = ", ".join(INTEGRATION_TO_CALLBACK)
        raise RecipeError(f"train.report_to names {', '.join(unknown)}: transformers knows {known}")
    if missing := [name for name in names if name not in get_available_reporting_integrations()]:
        raise RecipeError(
            f"train.report_to names what is not installed here: pip install {' '.join(missing)}, "
            "or leave it out"
        )
    return list(names) or "none"


def keep_events(trainer: Any, directory: Path, goes_on: bool) -> None:
    """Let tensorboard write there, and not among the checkpoints, which are deleted in the end.

    A run that begins anew leaves no events of an earlier attempt.
    """
    if not goes_on and trainer.is_world_process_zero():
        shutil.rmtree(directory, ignore_errors=True)
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):
            callback.logging_dir = callback.logging_dir or str(directory)
