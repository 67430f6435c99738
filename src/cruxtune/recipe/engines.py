"""What writes completions: one section type an engine, told apart by `type`."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from cruxtune.recipe.settings import Settings


class EngineSettings(Settings):
    """Settings of engines change speed, not greedy results.

    Sampled responses depend on `batch_size`: rows of a batch share one stream of random numbers.
    """

    device: str = "auto"
    """`auto` takes a GPU if there is one."""
    batch_size: PositiveInt = 64
    """Sequences in one forward pass of solving and evaluating; halve it when memory runs out."""


class ReferenceEngineSettings(EngineSettings):
    """transformers' own `generate`: plain, slow, right by definition."""

    type: Literal["reference"] = "reference"


class TrunkEngineSettings(EngineSettings):
    """Branches share the key-value cache of their solution and are drafted from it: the fast one."""

    type: Literal["trunk"] = "trunk"
    max_draft: NonNegativeInt = 6
    """Most tokens of the original solution that are verified at once; 0 never drafts."""
    max_tokens: PositiveInt | None = None
    """Most tokens in one forward pass; when absent, chosen for the device and its free memory."""


class VllmEngineSettings(EngineSettings):
    """vLLM in this process, with automatic prefix caching (extra `vllm`)."""

    type: Literal["vllm"] = "vllm"
    tensor_parallel_size: PositiveInt = 1
    data_parallel_size: PositiveInt = 1
    speculation: Literal["none", "ngram", "suffix"] = "none"
    options: dict[str, Any] = Field(default_factory=dict)
    """Anything else that `vllm.LLM` takes."""


class ServerEngineSettings(EngineSettings):
    """An OpenAI-compatible server that takes token ids: vLLM's, SGLang's."""

    type: Literal["server"] = "server"
    url: str
    """Such as `http://localhost:8000/v1`."""
    model: str | None = None
    """The name by which the server knows the model; when absent, the only one that it serves."""
    api_key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key, where the server wants one."""
    max_connections: PositiveInt = 64
    timeout: PositiveFloat = 600.0
    """Seconds that one request may take."""
    num_retries: NonNegativeInt = 6
    """Of a request that failed; the waits between them double."""


EngineSection = Annotated[
    ReferenceEngineSettings | TrunkEngineSettings | VllmEngineSettings | ServerEngineSettings,
    Field(discriminator="type"),
]
