"""Token ids as texts: whole completions, and the share of each token."""

from bisect import bisect_left
from functools import cached_property
from typing import Any

from cruxtune.engines.engine import Decoding
from cruxtune.records import Completion, FinishReason, TokenIds

REPLACEMENT = "\ufffd"


def finish(
    tokenizer: Any,
    generated: TokenIds,
    stop_token_ids: frozenset[int],
    decoding: Decoding,
    prefix: TokenIds | None = None,
) -> Completion:
    """The completion in raw engine output, which may go on past its end.

    It ends with the first stop token, before the first stop string, or with the token that settles the text,
    whichever comes first. A stop string may begin in the text of `prefix`; then nothing is left of the
    completion.
    """
    prefix = prefix or []
    ids = _through_stop_token(generated, stop_token_ids)
    has_stopped = bool(ids) and ids[-1] in stop_token_ids
    written = ids[:-1] if has_stopped else ids
    ending = Ending(tokenizer, decoding, prefix)
    if ending.has_come(written):
        ids, reason = ending.cut(written)
    else:
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


class Ending:
    """Where a text ends but for stop tokens: at a stop string, or where it is settled.

    Both hold for every longer text too, so that the first token with which they hold can be searched.
    """

    def __init__(self, tokenizer: Any, decoding: Decoding, prefix: TokenIds) -> None:
        self._tokenizer = tokenizer
        self._decoding = decoding
        self._prefix = prefix

    @cached_property
    def _overlap(self) -> str:
        """The end of the prefix, in which a stop string may begin."""
        before = self._tokenizer.decode(self._prefix, skip_special_tokens=False)
        longest = max(map(len, self._decoding.stop), default=1)
        return before[max(0, len(before) - longest + 1) :]

    def has_just_come(self, ids: TokenIds, num_new: int) -> bool:
        """Whether it has come, if it had not so many tokens ago; takes a look at the last ones first."""
        if self._is_settled(ids):
            return True
        return self._may_have_stopped(ids, num_new) and self._stop_start(ids) is not None

    def has_come(self, ids: TokenIds) -> bool:
        return self._stop_start(ids) is not None or self._is_settled(ids)

    def cut(self, ids: TokenIds) -> tuple[TokenIds, FinishReason]:
        """The ids up to the end, which has come within them."""
        count = bisect_left(range(len(ids) + 1), True, key=lambda count: self.has_come(ids[:count]))
        ids = ids[:count]
        start = self._stop_start(ids)
        if start is None:
            return ids, FinishReason.SETTLED
        while ids and len(self._raw_text(ids)) > start:
            ids = ids[:-1]
        return ids, FinishReason.STOP_STRING

    def _stop_start(self, ids: TokenIds) -> int | None:
        """Where the first stop string begins in the text of the ids; negative within that of the prefix."""
        if not self._decoding.stop:
            return None
        text = self._overlap + self._raw_text(ids)
        starts = [index for index in map(text.find, self._decoding.stop) if index >= 0]
        return min(starts) - len(self._overlap) if starts else None

    def _may_have_stopped(self, ids: TokenIds, num_new: int) -> bool:
        """Whether the last tokens hold a stop string; a token is at least a byte of it."""
        num_tokens = num_new + max((len(string.encode()) for string in self._decoding.stop), default=0)
        last = ids[-num_tokens:] if len(ids) >= num_tokens else (self._prefix + ids)[-num_tokens:]
        text = self._tokenizer.decode(last, skip_special_tokens=False)
        return any(string in text for string in self._decoding.stop)

    def _raw_text(self, ids: TokenIds) -> str:
        return suffix_text(self._tokenizer, self._prefix, ids, skip_special_tokens=False)

    def _is_settled(self, ids: TokenIds) -> bool:
        is_settled = self._decoding.is_settled
        return is_settled is not None and is_settled(
            self._tokenizer.decode(self._prefix + ids, skip_special_tokens=True)
        )
