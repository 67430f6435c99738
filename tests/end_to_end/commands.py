"""The command line as a user runs it, on the tiny model that ships."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SMALL = """
name = "small"
output_dir = "{output_dir}"
[engine]
batch_size = 16
[problems]
type = "synthetic"
num_problems = 24
[solve]
max_new_tokens = 140
part_size = 8
[annotate]
mode = "eager"
num_solutions = 3
part_size = 1
[select]
sft = {{ type = "all" }}
cft = {{ type = "strict" }}
random = {{ type = "random", match = "cft" }}
graded = {{ type = "graded" }}
[train]
selections = ["sft", "random"]
seeds = [0]
num_epochs = 2
batch_size = 2
micro_batch_size = 1
learning_rate = 1e-4
[evaluate]
max_new_tokens = 140
num_samples = 2
part_size = 4
[evaluate.benchmarks]
test = {{ type = "synthetic", split = "test", num_problems = 8 }}
"""


def cruxtune(*arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """One call of the command, with its output."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=timeout, env=environment(), check=False
    )


IMPATIENT = (
    "import sys, cruxtune.store.journal as journal; from cruxtune.cli import main; "
    "journal.FLUSH_SECONDS = 0.2; sys.argv[0] = 'cruxtune'; main()"
)
"""The command with a journal that is flushed five times a second, so that tests can be short."""


def start(*arguments: object) -> subprocess.Popen[str]:
    """An impatient command, running."""
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )


def hear_ctrl_c() -> None:
    """Also where the tests run in the background of a shell, which lets its children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cruxtune", *(str(argument) for argument in arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}


def write_recipe(folder: Path, output_dir: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.toml"
    path.write_text(SMALL.format(output_dir=output_dir))
    return path


def artifacts(directory: Path) -> dict[str, bytes]:
    """All that a run left, but for locks and times."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in files
        if path.name not in (".lock", "log.jsonl")
    }
