"""What a server serves: the right model, by token ids, or a message that says what to do."""

from dataclasses import dataclass
from typing import Any

from cruxtune.engines.client import Client, RefusedError
from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles

SAMPLE = "Tom has 1,204 apples; he eats 3.5 of them.\n\nHow many are left? Naïve: \\frac{1}{2} 😀"
"""Words, digits, spaces, accents: tokenizers of different models cut it differently."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model of a server."""

    name: str
    """By which requests ask for it."""
    root: str | None = None
    """The directory or Hub name that the server loaded, where it tells."""
    context_length: int | None = None


def find_served(client: Client, files: ModelFiles, name: str | None) -> Served:
    """The model called `name`, or else the one that the server knows by the name or directory of `files`.

    Another model may have the same tokenizer, so that nothing later would show the mistake.
    """
    listed = _list_models(client)
    names = {name} if name else {files.name, str(files.directory), str(files.directory.resolve())}
    found = [model for model in listed if {model.name, model.root} & names]
    if found:
        return found[0]
    there = ", ".join(repr(model.name) for model in listed) or "nothing"
    if name:
        raise ModelError(f"the server at {client.url} serves {there}, not engine.model = {name!r}")
    raise ModelError(
        f"the server at {client.url} serves {there}, not {files.name!r}. One server serves one model: start "
        f"one with --model {files.directory} --served-model-name {files.name} and run again (what is "
        "done is kept); where it is the recipe's model under another name, set engine.model"
    )


def require_token_ids(client: Client, name: str, tokenizer: Any) -> None:
    """Refuse a server that can't take a prompt of token ids, or doesn't give back those that it writes."""
    ids = tokenizer.encode("1 + 1 = 2", add_special_tokens=False)
    body = {"model": name, "prompt": ids, "max_tokens": 1, "temperature": 0.0, "return_token_ids": True}
    remedy = "use vLLM 0.11 or later, or another server that has `return_token_ids`"
    try:
        answer = client.ask(f"{client.url}/completions", body)
    except RefusedError as error:
        raise ModelError(f"the server takes no token ids as a prompt: {remedy}. {error}") from error
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not choices or not isinstance(choices[0].get("token_ids"), list):
        raise ModelError(f"the server at {client.url} gives back no token ids: {remedy}")
    if answer.get("usage", {}).get("prompt_tokens", len(ids)) != len(ids):
        raise ModelError(f"the server at {client.url} doesn't take token ids as they are: {remedy}")


def require_same_tokenizer(client: Client, name: str, files: ModelFiles, tokenizer: Any) -> None:
    """Refuse a server whose tokenizer cuts a text differently; one that can't be asked is believed."""
    body = {"model": name, "prompt": SAMPLE, "add_special_tokens": False}
    try:
        answer = client.ask(f"{client.url.removesuffix('/v1')}/tokenize", body)
    except RefusedError:
        return
    tokens = answer.get("tokens") if isinstance(answer, dict) else None
    if tokens is not None and tokens != tokenizer.encode(SAMPLE, add_special_tokens=False):
        raise ModelError(
            f"{name!r} at {client.url} has another tokenizer than {files.name}: it is another model. "
            "Set engine.url or model.name"
        )


def _list_models(client: Client) -> list[Served]:
    try:
        answer = client.ask(f"{client.url}/models")
        return [Served(card["id"], card.get("root"), card.get("max_model_len")) for card in answer["data"]]
    except RefusedError as error:
        hint = (
            "set the variable that engine.api_key_variable names"
            if error.status in (401, 403)
            else ("engine.url ends in /v1 as a rule")
        )
        raise ModelError(f"{error}: {hint}") from error
    except (KeyError, TypeError) as error:
        raise ModelError(f"{client.url}/models lists no models: is engine.url OpenAI-compatible?") from error
