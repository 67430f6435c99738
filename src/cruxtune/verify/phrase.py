"""What a writer means after "the answer is": a number, a formula or a few words, out of a sentence."""

import re

PHRASE = re.compile(
    r"\b(?:(?:final|correct|right)\s{1,3})?(?:answer|result|solution)\b"
    r"(?:\s(?:to|of|for)\s[^.:\n]{1,60}?)?\s?(?:\*\*)?\s{0,3}(?:(?:is|are|equals|would\sbe|will\sbe)\b(?!\s*not\b)\s?:?|[:=])"
    r"(?:\*\*)?",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?;](?=\s|\*|\"|$)|\n|<\|")
_LEAD_IN = re.compile(
    r"(?:[\s*_`\"“:=]|(?:therefore|thus|simply|just|exactly|equal to|equals|given by|as follows|is|are|be"
    r"|approximately|about|around|roughly|nearly)\b)*",
    re.IGNORECASE,
)
_FORMULA = re.compile(
    r"\$\$?(?!\s?[0-9][0-9,.]*\s[A-Za-z]{2})((?:\\.|[^$\\\n])+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)
_MORE = re.compile(r"\s*(?:,|and\b|or\b|,\s*(?:and|or)\b)\s*(?:\$|\\[(\[])")
_AMOUNT = re.compile(
    r"([-−]?\s?[$€£]?\s?-?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?(?:\s?%|\s?percent\b)?)"
    r"(?:\s*$|\s+(?=[A-Za-z(])(?!(?:and|or|times|plus|minus|x|pi)\b\s?(?:[-0-9$\\]|[a-z]\b))|,\s(?=[A-Za-z]))"
)
_UNIT = re.compile(
    r"(?!(?:so|because|since|and|or|but|then|which|that|as|per|for|if|when|of|in|to|by|at|he|she|it|we|they)\b)"
    r"[A-Za-z]+(?![A-Za-z0-9=+*^])"
)
_SECOND_AMOUNT = re.compile(r"\s*(?:,|and\b)?\s*[$€£]?[0-9]")
_COMPUTATION = re.compile(r"(?:[-0-9\s+*/×÷().,$%]|(?<=[0-9] )x(?= [0-9]))+=\s*(?=[^=]+$)")
_AMOUNT_ANYWHERE = re.compile(r"-?[$€£]?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)(?:/[0-9]+)?%?")
_PROSE = re.compile(r"(?:[A-Za-z']{2,}[\s,]+){2,}")
_MAX_WORDS = 6


def after_phrase(rest: str) -> str:
    """The answer at the start of what follows the phrase; empty where there is none.

    >>> after_phrase(" 18. So he has 18 left."), after_phrase(" that Ann has 3 cats.")
    ('18', '3')
    >>> after_phrase(r" $x = 5$ because"), after_phrase(" 6 + 12 = 18.")
    ('x = 5', '18')
    """
    rest = rest[lead.end() :] if (lead := _LEAD_IN.match(rest)) else rest
    if formula := _FORMULA.match(rest):
        return _first_sentence(rest) if _MORE.match(rest, formula.end()) else _computed(_inside(formula))
    sentence = _first_sentence(rest)
    if amount := _AMOUNT.match(sentence):
        return _with_unit(amount, sentence)
    if _PROSE.match(sentence):
        return _from_prose(sentence)
    return _computed(sentence)


def _inside(formula: re.Match[str]) -> str:
    return next(group for group in formula.groups() if group)


def _first_sentence(text: str) -> str:
    end = _SENTENCE_END.search(text)
    return (text[: end.start()] if end else text).strip(' *_`"”')


def _with_unit(amount: re.Match[str], sentence: str) -> str:
    """The number and the one word after it that may be its unit; all of `6 hours and 30 minutes`."""
    number = amount[1].strip()
    if "," in amount[0][len(amount[1]) :] or not (unit := _UNIT.match(sentence, amount.end())):
        return number
    return sentence if _SECOND_AMOUNT.match(sentence, unit.end()) else f"{number} {unit[0]}"


def _computed(text: str) -> str:
    """The right side of `6 + 12 = 18`; an equation with letters on its left stays whole."""
    return text[match.end() :] if (match := _COMPUTATION.match(text)) else text


def _from_prose(sentence: str) -> str:
    """The formula of a sentence, or its first number after any `=`; its words where it is short."""
    if formula := _FORMULA.search(sentence):
        return _inside(formula)
    result = sentence.rpartition("=")[2]
    if number := _AMOUNT_ANYWHERE.search(result) or _AMOUNT_ANYWHERE.search(sentence):
        return number[0]
    return sentence if len(sentence.split()) <= _MAX_WORDS else ""
