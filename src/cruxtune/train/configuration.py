"""Plain settings to the configuration of trl and peft."""

import os
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D
from trl import SFTConfig  # type: ignore[attr-defined]

from cruxtune.errors import RecipeError
from cruxtune.recipe.training import LoraSection, TrainSettings
from cruxtune.train.loggers import known_loggers

NAMES = ("activation_checkpointing", "gradient_checkpointing")
CHECKPOINTING = next(name for name in NAMES if name in SFTConfig.__dataclass_fields__)
"""What this version of transformers calls it."""
ADAPTABLE = (torch.nn.Linear, torch.nn.Embedding, Conv1D)


def training_arguments(
    settings: TrainSettings, directory: Path, seed: int, num_processes: int, device: torch.device
) -> SFTConfig:
    """trl's arguments; what it would do to the data by itself is switched off."""
    checkpointing: dict[str, Any] = {CHECKPOINTING: settings.gradient_checkpointing}
    require_same_precision(settings.bf16)
    return SFTConfig(
        output_dir=str(directory),
        seed=seed,
        data_seed=seed,
        num_train_epochs=settings.num_epochs,
        per_device_train_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=accumulation_steps(settings, num_processes),
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_ratio,
        lr_scheduler_type=settings.lr_scheduler,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.bf16,
        **checkpointing,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        average_tokens_across_devices=True,
        save_strategy="steps" if settings.save_every else "no",
        save_steps=settings.save_every or 1,
        save_total_limit=2,
        logging_steps=1,
        report_to=known_loggers(settings.report_to),
        run_name=directory.parent.name,
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
    )


def require_same_precision(bf16: bool) -> None:
    """accelerate's configuration would quietly compute in another one than the recipe says."""
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched != "no" and (launched == "bf16") != bf16:
        raise RecipeError(
            f"accelerate was launched with mixed_precision = {launched}, the recipe says "
            f"train.bf16 = {str(bf16).lower()}: let both say the same"
        )


def accumulation_steps(settings: TrainSettings, num_processes: int) -> int:
    steps, rest = divmod(settings.batch_size, settings.micro_batch_size * num_processes)
    if rest or not steps:
        raise RecipeError(
            f"train.batch_size = {settings.batch_size} is not a multiple of train.micro_batch_size = "
            f"{settings.micro_batch_size} times {num_processes} processes"
        )
    return steps


def _tied(model: PreTrainedModel) -> set[str]:
    """Names of the embeddings and the head, where they share their weights."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if any(end is None for end in ends) or ends[0].weight is not ends[1].weight:
        return set()
    return {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if module in ends}


def _adaptable(model: PreTrainedModel) -> set[str]:
    """Names of the modules that an adapter can lie on."""
    kinds: dict[str, set[bool]] = {}
    for name, module in model.named_modules():
        kinds.setdefault(name.rsplit(".", 1)[-1], set()).add(isinstance(module, ADAPTABLE))
    return {name for name, are_adaptable in kinds.items() if all(are_adaptable)}


def lora_config(settings: LoraSection, model: PreTrainedModel) -> LoraConfig:
    """peft's configuration; module names that the model does not have are refused."""
    targets: Any = settings.target_modules
    if not isinstance(targets, str):
        adaptable = _adaptable(model)
        if missing := [target for target in targets if target not in adaptable]:
            raise RecipeError(
                f"train.lora.target_modules names {missing}, which the model does not have as linear "
                f"layers or embeddings: {', '.join(sorted(adaptable))} are"
            )
        if shared := sorted(set(targets) & _tied(model)):
            raise RecipeError(
                f"train.lora.target_modules names {shared}, but embeddings and head share their weights: "
                "an adapter on one of them can't be merged into the checkpoint"
            )
        targets = list(targets)
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
