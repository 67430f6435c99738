"""What writes completions: one section type an engine, told apart by `type`."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from cruxtune.recipe.settings import Settings


class EngineSettings(Settings):
    """Settings of engines change speed, not greedy results."""

    device: str = "auto"
    """Of this process, in training too; `auto` takes a GPU if there is one."""


class LocalEngineSettings(EngineSettings):
    """Engines that run transformers' models.

    Sampled responses depend on `batch_size`: rows of a batch share one stream of random numbers.
    """

    batch_size: PositiveInt = 64
    """Sequences in one forward pass of solving and evaluating; halve it when memory runs out."""


class ReferenceEngineSettings(LocalEngineSettings):
    """transformers' own `generate`: plain, slow, right by definition."""

    type: Literal["reference"] = "reference"


class TrunkEngineSettings(LocalEngineSettings):
    """Branches share the key-value cache of their solution and are drafted from it: the fast one."""

    type: Literal["trunk"] = "trunk"
    max_draft: NonNegativeInt = 6
    """Most tokens of the original solution that are verified at once; 0 never drafts."""
    max_tokens: PositiveInt | None = None
    """Most tokens in one forward pass; when absent, 1,024 on a CPU and 4,096 on a GPU.

    Free memory limits how many branches are under way."""
    kernel: bool = True
    """On a CPU, compute a part of the attention with a kernel that the machine's C compiler builds, if it
    has one, and the matrix products with oneDNN."""


class VllmEngineSettings(EngineSettings):
    """vLLM in this process, with automatic prefix caching (extra `vllm`); it picks its device itself."""

    type: Literal["vllm"] = "vllm"
    tensor_parallel_size: PositiveInt = 1
    """GPUs that share each matrix product."""
    speculation: Literal["none", "ngram", "suffix"] = "none"
    """Drafts from the text itself; `suffix` needs arctic-inference."""
    num_scored: PositiveInt = 256
    """Most probable tokens that entropies are summed over; the rest counts as one token: a lower bound."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Anything else that `vllm.LLM` takes."""


class ServerEngineSettings(EngineSettings):
    """An OpenAI-compatible server that takes and gives token ids, such as vLLM's."""

    type: Literal["server"] = "server"
    url: str
    """Such as `http://localhost:8000/v1`."""
    model: str | None = None
    """The name by which the server knows the recipe's model; when absent, the recipe's name or directory."""
    api_key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key, where the server wants one."""
    max_connections: PositiveInt = 64
    """Requests under way at a time."""
    timeout: PositiveFloat = 600.0
    """Seconds that one request may take."""
    num_retries: NonNegativeInt = 6
    """Of a request that failed; the waits between them double."""
    num_scored: PositiveInt = 20
    """As for vLLM; more than 20 need a server started with `--max-logprobs`."""


EngineSection = Annotated[
    ReferenceEngineSettings | TrunkEngineSettings | VllmEngineSettings | ServerEngineSettings,
    Field(discriminator="type"),
]
