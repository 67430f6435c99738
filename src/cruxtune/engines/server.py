"""A server that speaks OpenAI's completions with token ids, as vLLM's does: one request a text."""

from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import Any

from cruxtune.engines.backend import Request
from cruxtune.engines.client import Client, RefusedError
from cruxtune.engines.facts import read_facts
from cruxtune.engines.requests import RequestEngine
from cruxtune.engines.scores import Scores
from cruxtune.engines.served import find_served, require_same_tokenizer, require_token_ids
from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles, load_tokenizer
from cruxtune.records import TokenIds

PLAIN = {
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "skip_special_tokens": False,
    "return_token_ids": True,
}
"""Said in every request: a model's own sampling defaults must not change the result."""


def open_server(
    files: ModelFiles,
    client: Client,
    model: str | None = None,
    max_connections: int = 64,
    num_scored: int = 20,
    trust_remote_code: bool = False,
) -> RequestEngine:
    """The model of `files` at a server, which is asked first whether it is that one and takes token ids."""
    tokenizer = load_tokenizer(files, trust_remote_code)
    facts = read_facts(files, tokenizer, trust_remote_code)
    served = find_served(client, files, model)
    require_token_ids(client, served.name, tokenizer)
    require_same_tokenizer(client, served.name, files, tokenizer)
    context_length = min(facts.context_length, served.context_length or facts.context_length)
    backend = ServerBackend(client, served.name, max_connections)
    return RequestEngine(backend, tokenizer, replace(facts, context_length=context_length), num_scored)


class ServerBackend:
    """As many requests under way as there may be connections."""

    def __init__(self, client: Client, model: str, max_connections: int) -> None:
        self.max_in_flight = max_connections
        self._client = client
        self._model = model
        self._numbers: dict[Future[Any], int] = {}

    def submit(self, number: int, request: Request) -> None:
        decoding = request.decoding
        body = {
            "prompt": request.prompt_ids,
            "max_tokens": request.max_new_tokens,
            "temperature": decoding.temperature,
            "seed": request.seed,
            "stop": list(decoding.stop),
            "include_stop_str_in_output": True,
            "stop_token_ids": sorted(request.stop_token_ids),
        }
        self._numbers[self._start(body)] = number

    def collect(self) -> list[tuple[int, TokenIds]]:
        done, _ = wait(self._numbers, return_when=FIRST_COMPLETED)
        return [(self._numbers.pop(future), _choice(future)["token_ids"]) for future in done]

    def score(self, ids: TokenIds, start: int, num_best: int) -> list[Scores]:
        """From the prompt's log-probabilities; the last token is made the answer, where one must be made."""
        body = {
            "prompt": ids[:-1],
            "max_tokens": 1,
            "temperature": 0.0,
            "allowed_token_ids": ids[-1:],
            "prompt_logprobs": num_best,
            "logprobs": num_best,
            "return_tokens_as_token_ids": True,
        }
        choice = _choice(self._start(body))
        if not choice.get("prompt_logprobs"):
            raise ModelError(
                f"the server at {self._client.url} gives no prompt_logprobs, which annotate needs: use vLLM's"
            )
        rows = choice["prompt_logprobs"][start:]
        scores = [{int(key): entry["logprob"] for key, entry in row.items()} for row in rows]
        return [*scores, _last_scores(choice["logprobs"])]

    def drop(self) -> None:
        for future in self._numbers:
            future.cancel()
        self._numbers.clear()

    def _start(self, body: dict[str, Any]) -> Future[Any]:
        return self._client.start(f"{self._client.url}/completions", {"model": self._model, **PLAIN, **body})


def _choice(future: Future[Any]) -> dict[str, Any]:
    try:
        choice: dict[str, Any] = future.result()["choices"][0]
        return choice
    except RefusedError as error:
        hint = "; start it with --max-logprobs, or lower engine.num_scored" if "logprob" in str(error) else ""
        raise ModelError(f"{error}{hint}") from error
    except (KeyError, IndexError, TypeError) as error:
        raise ModelError(
            "the server's answer has no `choices`: is engine.url an OpenAI-compatible one?"
        ) from error


def _last_scores(logprobs: dict[str, Any]) -> Scores:
    """Of the one token that was made: OpenAI's layout, with `token_id:17` for the text of a token."""
    best = {**logprobs["top_logprobs"][0], logprobs["tokens"][0]: logprobs["token_logprobs"][0]}
    return {int(token.removeprefix("token_id:")): value for token, value in best.items()}
