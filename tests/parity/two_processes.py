"""Run by torchrun: a few steps of the real trainer, to be compared with those of one process."""

import sys
from pathlib import Path

from random_models import words
from test_weighted_training import VOCABULARY, WEIGHTS, small_model, some_examples

from cruxtune.recipe.sections import TrainSection
from cruxtune.train.finetune import finetune, make_trainer
from cruxtune.train.processes import leave_group, num_processes

SETTINGS = TrainSection(num_epochs=2, batch_size=4, micro_batch_size=1, learning_rate=1e-3)


def main(directory: Path) -> None:
    examples = some_examples(weights=WEIGHTS)
    probe = make_trainer(small_model(), words(VOCABULARY), examples, SETTINGS, 0, directory / "probe")
    assert probe.accelerator.num_processes == num_processes()
    finetune(small_model(), words(VOCABULARY), examples, SETTINGS, 0, directory)
    leave_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
