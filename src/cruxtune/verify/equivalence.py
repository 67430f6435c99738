"""Whether two answers are the same number or expression, as a careful mathematician sees it.

Plain answers are settled here, exactly and at once; what needs algebra goes to a process that can
be killed (`process`).
"""

import re
from functools import cache

from cruxtune.verify.notation import MAX_ANSWER_LENGTH, squeezed, tidy
from cruxtune.verify.process import AlgebraProcess
from cruxtune.verify.quantity import read_quantity, same_quantity

_WORDS = re.compile(r"[A-Za-z]+(?:[ ,'’-]+[A-Za-z]+)*")
_WORD = re.compile(r"[A-Za-z]+")
_CLOCK_OR_RATIO = re.compile(r"[0-9.]+(?: ?: ?[0-9.]+)+(?: ?[A-Za-z.]+)?")
_LETTER = re.compile(r"\(?([A-Z])\)?")


def compare_plainly(reference: str, answer: str) -> bool | None:
    """Whether the answers are equal, or None where only algebra can tell.

    >>> compare_plainly("18", "$18.00"), compare_plainly("1/3", "0.333"), compare_plainly("2x", "x+x")
    (True, False, None)
    """
    if max(len(reference), len(answer)) > MAX_ANSWER_LENGTH:
        return reference.strip() == answer.strip()
    left, right = tidy(reference), tidy(answer)
    if squeezed(left) == squeezed(right):
        return bool(left)
    if not left or not right:
        return False
    quantity, other = read_quantity(left), read_quantity(right)
    if quantity and other:
        return same_quantity(quantity, other)
    return _compare_words(left, right)


def equivalent(reference: str, answer: str) -> bool:
    """Whether the answer equals the reference; never hangs.

    What needs algebra is asked of one shared process. Raises TimeoutError where it finds no verdict in
    3 seconds and 1 GiB: not knowing is not the same as unequal. `Verifier` says UNGRADED instead.
    """
    verdict = compare_plainly(reference, answer)
    if verdict is None:
        verdict = _shared_process().ask(reference, answer)
    if verdict is None:
        raise TimeoutError(f"no verdict on {answer[:60]!r} = {reference[:60]!r} in 3 s and 1 GiB")
    return verdict


@cache
def _shared_process() -> AlgebraProcess:
    return AlgebraProcess()


def _compare_words(left: str, right: str) -> bool | None:
    """Words, choice letters, clock times and ratios are equal as they are read, or not at all."""
    if (one := _LETTER.fullmatch(left)) and (other := _LETTER.fullmatch(right)):
        return one[1] == other[1]
    if _CLOCK_OR_RATIO.fullmatch(left) and _CLOCK_OR_RATIO.fullmatch(right):
        return left.replace(" ", "").lower() == right.replace(" ", "").lower()
    if not _is_words(left) or not _is_words(right):
        return None
    return _WORD.findall(left.casefold()) == _WORD.findall(right.casefold())


def _is_words(text: str) -> bool:
    """Whether a text is language rather than a product of letters: it has a word of five letters."""
    return bool(_WORDS.fullmatch(text)) and max(map(len, _WORD.findall(text))) >= 5
