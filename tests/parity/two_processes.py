"""Run by torchrun: a few steps of the real trainer, to be compared with those of one process."""

import sys
from pathlib import Path

from one_step import WEIGHTS, some_examples
from random_models import words
from test_weighted_training import VOCABULARY, small_model

from cruxtune.recipe.training import TrainSection
from cruxtune.train.finetune import finetune, make_trainer
from cruxtune.train.processes import leave_group, num_processes

SETTINGS = TrainSection(num_epochs=2, batch_size=4, micro_batch_size=1, learning_rate=1e-3)
RUNS = {
    "weighted": SETTINGS,
    "dft": SETTINGS.model_copy(update={"objective": "dft", "normaliser": "sequence"}),
    "eaft": SETTINGS.model_copy(update={"objective": "eaft", "normaliser": "set", "micro_batch_size": 2}),
}


def main(directory: Path) -> None:
    examples = some_examples(num_examples=7, weights=WEIGHTS)  # the last step is not full
    for name, settings in RUNS.items():
        probe = make_trainer(
            small_model(), words(VOCABULARY), examples, settings, 0, directory / name / "probe"
        )
        assert probe.accelerator.num_processes == num_processes()
        finetune(small_model(), words(VOCABULARY), examples, settings, 0, directory / name)
    leave_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
