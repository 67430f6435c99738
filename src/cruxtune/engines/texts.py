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

    A stop string may begin in the text of `prefix`; then nothing is left of the completion.
    """
    prefix = prefix or []
    ids = _through_stop_token(generated, stop_token_ids)
    has_stopped = bool(ids) and ids[-1] in stop_token_ids
    written = ids[:-1] if has_stopped else ids
    cut = _tokens_before_stop_string(tokenizer, written, stop, prefix)
    if cut is not None:
        return Completion(ids[:cut], suffix_text(tokenizer, prefix, ids[:cut]), FinishReason.STOP_STRING)
    reason = FinishReason.STOP if has_stopped else FinishReason.LENGTH
    return Completion(ids, suffix_text(tokenizer, prefix, ids), reason)


def suffix_text(tokenizer: Any, prefix: TokenIds, ids: TokenIds, skip_special_tokens: bool = True) -> str:
    """What `ids` add to the text of `prefix`."""
    before, whole, alone = (
        tokenizer.decode(part, skip_special_tokens=skip_special_tokens)
        for part in (prefix, prefix + ids, ids)
    )
    return whole[len(before) :] if whole.startswith(before) else alone


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
    if not stop:
        return None
    before = tokenizer.decode(prefix, skip_special_tokens=False)
    overlap = before[max(0, len(before) - max(len(string) for string in stop) + 1) :]
    text = overlap + suffix_text(tokenizer, prefix, ids, skip_special_tokens=False)
    starts = [index - len(overlap) for index in (text.find(string) for string in stop) if index >= 0]
    if not starts:
        return None
    count = len(ids)
    while count and len(suffix_text(tokenizer, prefix, ids[:count], skip_special_tokens=False)) > min(starts):
        count -= 1
    return count
