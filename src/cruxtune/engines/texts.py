"""Token ids as texts: whole completions, and the share of each token."""

from collections.abc import Sequence
from typing import Any

from cruxtune.records import Completion, FinishReason, TokenIds

REPLACEMENT = "\ufffd"


def finish(
    tokenizer: Any,
    generated: TokenIds,
    stop_token_ids: frozenset[int],
    stop: Sequence[str],
    prefix: TokenIds | None = None,
) -> Completion:
    """The completion in raw engine output: cut after the first stop token, before the first stop string.

    Stop strings are looked for in what comes after `prefix` only as a part of the whole text, so that one
    which straddles the border is found too.
    """
    ids = _through_stop_token(generated, stop_token_ids)
    reason = FinishReason.STOP if ids and ids[-1] in stop_token_ids else FinishReason.LENGTH
    cut = _tokens_before_stop_string(tokenizer, ids, stop, prefix or [])
    if cut is not None:
        ids, reason = ids[:cut], FinishReason.STOP_STRING
    return Completion(ids, suffix_text(tokenizer, prefix or [], ids), reason)


def suffix_text(tokenizer: Any, prefix: TokenIds, ids: TokenIds) -> str:
    """What `ids` add to the text of `prefix`; special tokens are left out."""
    before = _decode(tokenizer, prefix)
    whole = _decode(tokenizer, prefix + ids)
    return whole[len(before) :] if whole.startswith(before) else _decode(tokenizer, ids)


def token_texts(tokenizer: Any, ids: TokenIds) -> list[str]:
    """The share of each token in the text; a character of several tokens belongs to its last one.

    Special tokens are shown as they are written, so that a stop token can be seen.
    """
    texts: list[str] = []
    start = done = 0
    for end in range(1, len(ids) + 1):
        window = tokenizer.decode(ids[start:end], skip_special_tokens=False)
        is_whole = not window.endswith(REPLACEMENT) or end == len(ids)
        texts.append(window[done:] if is_whole else "")
        done = len(window) if is_whole else done
        if is_whole and end - start >= 16:
            start, done = end - 1, len(tokenizer.decode(ids[end - 1 : end], skip_special_tokens=False))
    return texts


def _through_stop_token(ids: TokenIds, stop_token_ids: frozenset[int]) -> TokenIds:
    for index, token_id in enumerate(ids):
        if token_id in stop_token_ids:
            return ids[: index + 1]
    return ids


def _tokens_before_stop_string(
    tokenizer: Any, ids: TokenIds, stop: Sequence[str], prefix: TokenIds
) -> int | None:
    """How many tokens lie wholly before the first stop string; None where there is none."""
    text = suffix_text(tokenizer, prefix, ids)
    starts = [index for index in (text.find(string) for string in stop) if index >= 0]
    if not starts:
        return None
    count = len(ids)
    while count and len(suffix_text(tokenizer, prefix, ids[:count])) > min(starts):
        count -= 1
    return count


def _decode(tokenizer: Any, ids: TokenIds) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True)
