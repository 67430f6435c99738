"""The trainers that are compared, on the same model and data."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoTokenizer,
    PrinterCallback,
    Qwen2Config,
    Qwen2ForCausalLM,
    Trainer,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from cruxtune.models import find_model
from cruxtune.recipe.training import TrainSection
from cruxtune.records import Example
from cruxtune.train.batching import IGNORED
from cruxtune.train.finetune import make_trainer
from training.job import Job

RATE = 1e-4


def trainer_of(job: Job, directory: Path, callback: TrainerCallback) -> Any:
    """With the callback among its own."""
    torch.manual_seed(0)
    if job.method == "ours":
        return our_trainer(job, directory, callback)
    kind: Any = Trainer if job.method == "full" else SFTTrainer
    trainer = kind(
        model=model_of(job),
        args=arguments_of(job, directory),
        train_dataset=labelled(job),
        processing_class=tokenizer(),
        callbacks=[callback],
        **({"data_collator": DataCollatorForLanguageModeling(0)} if job.method == "full" else {}),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def our_trainer(job: Job, directory: Path, callback: TrainerCallback) -> Any:
    settings = TrainSection(
        num_epochs=1,
        batch_size=job.batch,
        micro_batch_size=job.micro_batch,
        learning_rate=RATE,
        bf16=job.bf16,
        monitor_every=0,
    )
    return make_trainer(model_of(job), tokenizer(), job.examples, settings, 0, directory, [callback])


def arguments_of(job: Job, directory: Path) -> SFTConfig:
    """trl's own, at the settings of ours."""
    return SFTConfig(
        output_dir=str(directory),
        loss_type="nll" if job.method == "full" else job.method,
        num_train_epochs=1,
        per_device_train_batch_size=job.micro_batch,
        gradient_accumulation_steps=job.batch // job.micro_batch,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        weight_decay=0.0,
        bf16=job.bf16,
        gradient_checkpointing=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        seed=0,
        data_seed=0,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=job.device == "cpu",
        dataloader_pin_memory=job.device != "cpu",
    )


def labelled(job: Job) -> Dataset:
    """The examples as trl reads them."""
    rows = [(example.input_ids, labels_of(example)) for example in job.examples]
    return Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in rows])


def labels_of(example: Example) -> list[int]:
    pairs = zip(example.input_ids, example.loss_weights, strict=True)
    return [token if weight else IGNORED for token, weight in pairs]


def model_of(job: Job) -> Qwen2ForCausalLM:
    """Of Qwen2.5's kind: a head that shares the embedding's weights."""
    heads = max(2, job.hidden // 64)
    config = Qwen2Config(
        vocab_size=job.vocabulary,
        hidden_size=job.hidden,
        intermediate_size=4 * job.hidden,
        num_hidden_layers=job.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=max(job.length, 32),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    model: Any = Qwen2ForCausalLM(config)
    return model.to(job.device)


def tokenizer() -> Any:
    """Any will do: the data are token ids."""
    return AutoTokenizer.from_pretrained(find_model("tiny").directory)
