"""What training would trip over hours later, said before the first run begins."""

from collections.abc import Callable, Iterable
from functools import cache

from transformers import PreTrainedModel

from cruxtune.recipe.training import TrainSettings
from cruxtune.train.configuration import accumulation_steps, lora_config, require_same_precision
from cruxtune.train.loggers import known_loggers
from cruxtune.train.processes import num_processes


def require_trainable(settings: Iterable[TrainSettings], outline: Callable[[], PreTrainedModel]) -> None:
    """Raises where one of several runs can't be made; `outline` gives the model, with or without weights."""
    outline = cache(outline)
    for own in dict.fromkeys(settings):
        known_loggers(own.report_to)
        require_same_precision(own.bf16)
        accumulation_steps(own, num_processes())
        if own.lora and not isinstance(own.lora.target_modules, str):
            lora_config(own.lora, outline())
