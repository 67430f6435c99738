"""One fine-tuning run: a base model and examples in, a checkpoint directory and its log out."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, set_seed

from cruxtune.recipe.training import TrainSettings
from cruxtune.records import Example
from cruxtune.store.files import write_text
from cruxtune.train.batching import PaddedCollator, PaddingFreeCollator
from cruxtune.train.configuration import lora_config, training_arguments
from cruxtune.train.log import StepLog, entries, to_lines
from cruxtune.train.loggers import keep_events
from cruxtune.train.monitor import Monitor
from cruxtune.train.normalising import NORMALISERS
from cruxtune.train.objective import OBJECTIVES
from cruxtune.train.processes import is_main_process, num_processes
from cruxtune.train.trainer import WeightedTrainer, to_dataset


def finetune(
    model: PreTrainedModel,
    tokenizer: Any,
    examples: Sequence[Example],
    settings: TrainSettings,
    seed: int,
    directory: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train, write the checkpoint to `directory/model`, and return the log, one entry a step.

    An interrupted run goes on from its last whole checkpoint if `settings.save_every` kept any.
    """
    stored_dtype = model.dtype
    model.float()  # small updates are lost in bfloat16 weights; `settings.bf16` computes in it
    trainer = make_trainer(model, tokenizer, examples, settings, seed, directory / "checkpoints", callbacks)
    trainer.add_callback(StepLog(directory / "steps.jsonl"))
    checkpoint = last_checkpoint(directory / "checkpoints")
    keep_events(trainer, directory / "tensorboard", goes_on=checkpoint is not None)
    trainer.train(resume_from_checkpoint=checkpoint)
    log = entries(trainer.state.log_history)
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # all ranks: shards are gathered
    if is_main_process():
        _save(trainer, tokenizer, directory / "model", stored_dtype, state)
        write_text(directory / "steps.jsonl", to_lines(log))
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return log


def make_trainer(
    model: PreTrainedModel,
    tokenizer: Any,
    examples: Sequence[Example],
    settings: TrainSettings,
    seed: int,
    directory: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> WeightedTrainer:
    """The trainer of one run, ready to go."""
    set_seed(seed)
    pad_token_id = tokenizer.pad_token_id or 0  # any id will do: padding is masked and weighs 0
    trainer = WeightedTrainer(
        model=model,
        args=training_arguments(settings, directory, seed, num_processes(), model.device),
        train_dataset=to_dataset(NORMALISERS[settings.normaliser](examples)),
        data_collator=PaddingFreeCollator() if settings.padding_free else PaddedCollator(pad_token_id),
        processing_class=tokenizer,
        peft_config=lora_config(settings.lora, model) if settings.lora else None,
        callbacks=list(callbacks),
        objective=OBJECTIVES[settings.objective],
    )
    trainer.remove_callback(PrinterCallback)
    if settings.monitor_every:
        trainer.add_callback(Monitor(trainer, examples, settings.monitor_every))
    return trainer


def last_checkpoint(directory: Path) -> str | None:
    """The newest checkpoint that was written to its end."""
    found = [path for path in directory.glob("checkpoint-*") if _is_whole(path)]
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2]))) if found else None


def _is_whole(checkpoint: Path) -> bool:
    """The trainer's state is the last file of a checkpoint."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, json.JSONDecodeError):
        return False
    return True


def _save(
    trainer: WeightedTrainer, tokenizer: Any, directory: Path, dtype: torch.dtype, state: dict[str, Any]
) -> None:
    """The model in transformers' layout and its own dtype, adapters merged; there whole or not at all."""
    temporary = directory.with_name(".model.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        whole = _gathered(model, state) if trainer.is_sharded else model
        whole.merge_and_unload().to(dtype).save_pretrained(temporary)
    else:
        model.config.dtype = dtype
        model.save_pretrained(temporary, state_dict={name: value.to(dtype) for name, value in state.items()})
    tokenizer.save_pretrained(temporary)
    shutil.rmtree(directory, ignore_errors=True)
    temporary.rename(directory)


def _gathered(model: PeftModel, state: dict[str, torch.Tensor]) -> PeftModel:
    """The same model in one piece: an empty one that takes the gathered weights over."""
    base: Any = model.get_base_model()
    with torch.device("meta"):
        empty = get_peft_model(type(base)(base.config), model.peft_config["default"])
    empty.load_state_dict(state, assign=True)
    base = empty.get_base_model()
    base.tie_weights()
    return empty
