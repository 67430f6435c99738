"""Run by torchrun on CPUs, with what accelerate sets for FSDP2: the real trainer on weights in shards.

accelerate shards on accelerators only and would quietly train whole copies here. Told that the processes have
one each, it does what it does on GPUs: torch's own `fully_shard`, over gloo.
"""

import sys
from pathlib import Path

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from one_step import WEIGHTS, some_examples
from random_models import words
from test_weighted_training import VOCABULARY, small_model
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from cruxtune.recipe.training import LoraSection, TrainSection
from cruxtune.train.finetune import finetune
from cruxtune.train.processes import leave_group
from cruxtune.train.trainer import WeightedTrainer

SETTINGS = TrainSection(num_epochs=2, batch_size=4, micro_batch_size=1, learning_rate=1e-3, monitor_every=2)
RUNS = {
    "full": SETTINGS,
    "eaft": SETTINGS.model_copy(update={"objective": "eaft"}),
    "lora": SETTINGS.model_copy(update={"lora": LoraSection(r=2, alpha=4)}),
}


def call_cpus_accelerators() -> None:
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
    torch.distributed.init_process_group("gloo")


def require_shards() -> None:
    """Refuse to train on anything but shards."""
    original = WeightedTrainer.compute_loss

    def compute_loss(self, model, *others, **named):
        assert isinstance(model, FSDPModule) and self.is_sharded
        assert any(isinstance(parameter, DTensor) for parameter in model.parameters())
        return original(self, model, *others, **named)

    WeightedTrainer.compute_loss = compute_loss


def main(directory: Path, is_sharded: bool) -> None:
    if is_sharded:
        call_cpus_accelerators()
        require_shards()
    for name, settings in RUNS.items():
        finetune(
            small_model(), words(VOCABULARY), some_examples(weights=WEIGHTS), settings, 0, directory / name
        )
    leave_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), is_sharded=True)
