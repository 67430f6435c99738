"""The sections of a recipe, in the order in which the stages read them."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from cruxtune.recipe.rules import Rank
from cruxtune.recipe.settings import Name, Seed, Settings
from cruxtune.recipe.sources import ProblemSource


class ModelSection(Settings):
    """The base model."""

    name: str = "tiny"
    """`tiny` (ships with the project), a directory, or a Hub id such as `Qwen/Qwen2.5-3B`."""
    revision: str | None = None
    """A commit of the Hub repository."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` takes the type that the weights are stored in."""
    attn_implementation: str | None = None
    """As in transformers: `sdpa`, `eager`, `flash_attention_2`, …"""
    trust_remote_code: bool = False
    """Run code from the model's repository. Off: such a model is refused."""


class PromptSection(Settings):
    """How a problem becomes a prompt."""

    template: Literal["cot", "direct", "qwen-boxed", "qwen25-math-cot", "chat"] = "cot"
    """The text around a question; `chat` is the model's own."""


class VerifySection(Settings):
    """How a text becomes a verdict."""

    timeout: PositiveFloat = 3.0
    """Seconds that one comparison may take; past it the verdict is UNGRADED."""
    num_workers: PositiveInt = 1
    """Processes for the comparisons that need algebra."""
    stop_when_settled: bool = True
    """End a text once nothing that could follow would change its answer: the same verdicts, fewer tokens."""


class SolveSection(Settings):
    """Greedy solutions of the training problems (CFT paper, eq. 3, 4)."""

    max_new_tokens: PositiveInt = 1024
    """The length limit of solutions and of counterfactual rollouts."""
    part_size: PositiveInt = 64
    """Problems per file on disk: what a crash can lose."""


class SampleSection(Settings):
    """Sampled solutions of the problems that greedy decoding missed (section 5.1)."""

    num_tries: NonNegativeInt = 0
    """Tries a problem, until one is right; the paper makes 100, and 0 none."""
    temperature: PositiveFloat = 1.0
    seed: Seed = 0
    """Of each try together with its problem: no try depends on what else is sampled."""
    part_size: PositiveInt = 64
    """Problems per file on disk, and tries that are made at a time."""


class AnnotateSection(Settings):
    """The counterfactual test at every position (eq. 5-7)."""

    k: Rank = 3
    """Alternatives of rank 2 to k are tried."""
    mode: Literal["lazy", "eager"] = "lazy"
    """`lazy` tries rank j+1 only where rank j failed: all that Strict rules need. Union and
    Graded need `eager`."""
    num_solutions: PositiveInt | None = None
    """Annotate (and train on) only so many of the correct solutions: the first in random order."""
    seed: Seed = 0
    """Of that order. However far an annotation has come, what is there is a random sample."""
    skip_special: bool = False
    """Leave special tokens out as alternatives."""
    part_size: PositiveInt = 8
    """Solutions per file on disk; a crash loses some seconds of rollouts, however large a part is."""


class ClusterSection(Settings):
    """Where `--ray` finds actors, and what each of them gets. It changes no result."""

    address: str | None = None
    """Of a running cluster (`auto`, `host:6379`); default: RAY_ADDRESS, else one on this machine."""
    num_actors: PositiveInt | None = None
    """Engines at work at the same time; default: as many as the cluster has GPUs, or else CPUs, for."""
    cpus_per_actor: PositiveFloat = 1.0
    gpus_per_actor: float | None = Field(default=None, ge=0.0)
    """Default: one where the cluster has any."""
    solutions_per_task: PositiveInt = 32
    """Solutions that an actor annotates at a time; its batch is full until the last of them."""
    max_deaths: PositiveInt = 3
    """Actors that may die on the same work before the stage gives up."""


class EvaluateSection(Settings):
    """Accuracy of the base model and of every checkpoint."""

    benchmarks: dict[Name, ProblemSource] = Field(min_length=1)
    max_new_tokens: PositiveInt = 2048
    num_samples: NonNegativeInt = 8
    """Sampled responses a problem, for Pass@1 … Pass@num_samples; 0 evaluates greedily only."""
    temperature: PositiveFloat = 1.0
    seed: Seed = 0
    part_size: PositiveInt = 64
    """Problems per file on disk: what a crash can lose."""


class ReportSection(Settings):
    """The page and the table at the end."""

    num_solutions: NonNegativeInt = 12
    """Annotated solutions to show."""
    baseline: str | None = None
    """The method that gains are measured against, or `base`; when absent, the first plain SFT."""
