"""Plain quantities: one number, perhaps with a unit, read exactly and without algebra."""

import re
from dataclasses import dataclass
from fractions import Fraction

_NUMBER = r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
_TOP = rf"\s*(?:\{{\s*(?P<top>[+-]?{_NUMBER})\s*\}}|(?P<top_digit>[0-9]))"
_BOTTOM = _TOP.replace("top", "bottom")
_QUANTITY = re.compile(
    r"(?:(?P<variable>[A-Za-z])\s*=\s*)?(?P<sign>[+-]?)\s*(?P<currency>[$€£¥]?)\s*(?P<sign2>[+-]?)\s*(?:"
    + rf"(?:(?P<whole>[0-9]+)\s*)?\\frac{_TOP}{_BOTTOM}"
    + rf"|(?:(?P<whole2>[0-9]+) )?(?P<over>{_NUMBER})\s*/\s*(?P<under>{_NUMBER})"
    + rf"|(?P<number>{_NUMBER})"
    + r"(?:[eE](?P<e>[+-]?[0-9]{1,3})|\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*"
    + r"(?:\{\s*(?P<power>[+-]?[0-9]{1,3})\s*\}|(?P<power_digit>[0-9])))?"
    + r")(?:\s*(?P<percent>%|\\text\s*\{\s*(?:%|percent)\s*\}|per ?cent(?:age)?\b))?"
)
_BASE = re.compile(r"([0-9]+)_(?:\{([0-9]{1,2})\}|([0-9]))")
_UNIT_PARTS = re.compile(
    r"\\text\s*\{([^{}]*)\}|(\^\s*\{?\s*\\circ\s*\}?)|\^\s*(?:\{\s*([23])\s*\}|([23]))|([A-Za-z]+)|([/. -])"
)
_WORD = re.compile(r"[A-Za-z]+|/")
_EXPONENTS = {"2": "square", "3": "cubic"}
_MODIFIERS = frozenset({"square", "cubic", "per"})
_ALIASES = {
    alias: name
    for name, aliases in {
        "mm": "millimeter millimetre",
        "cm": "centimeter centimetre",
        "meter": "metre",
        "km": "kilometer kilometre",
        "inch": "in inches",
        "foot": "ft feet",
        "yard": "yd",
        "mile": "mi",
        "gram": "gm",
        "kg": "kilogram",
        "mg": "milligram",
        "pound": "lb",
        "ounce": "oz",
        "ml": "milliliter millilitre",
        "liter": "litre",
        "second": "sec",
        "minute": "min",
        "hour": "hr",
        "square": "sq squared",
        "cubic": "cu cubed",
        "degree": "deg",
        "dollar": "usd buck",
        "euro": "eur",
        "per": "/ each",
        "am": "am",
        "pm": "pm",
    }.items()
    for alias in (name, *aliases.split())
}
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "sterling", "¥": "yen"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact value and what was written around it."""

    value: Fraction
    percent: bool = False
    unit: frozenset[str] = frozenset()
    variable: str = ""
    """`x` in `x = 5`."""


def same_quantity(left: Quantity, right: Quantity) -> bool:
    """Whether two quantities are equal, to the last digit.

    A percent sign on one side only may be a unit (50% = 50) or a factor (50% = 0.5). Other units and
    variables matter where both sides have them; units are not converted.
    """
    if left.variable and right.variable and left.variable != right.variable:
        return False
    return _same_value(left, right) and _same_unit(left.unit, right.unit)


def read_quantity(text: str) -> Quantity | None:
    r"""The quantity that a tidy text is, or None where it is anything else.

    >>> read_quantity(r"1\frac{1}{2}\text{ cups}").value
    Fraction(3, 2)
    """
    if match := _BASE.fullmatch(text):
        return _in_base(match[1], int(match[2] or match[3]))
    match = _QUANTITY.match(text)
    if match is None or (match["sign"] and match["sign2"]):
        return None
    value, unit = _value(match), _unit(text[match.end() :])
    if value is None or unit is None:
        return None
    unit |= {_CURRENCIES[match["currency"]]} if match["currency"] else set()
    return Quantity(value, bool(match["percent"]), frozenset(unit), match["variable"] or "")


def _same_value(left: Quantity, right: Quantity) -> bool:
    if left.percent == right.percent:
        return left.value == right.value
    percent, plain = (left, right) if left.percent else (right, left)
    return not plain.unit and percent.value in (plain.value, 100 * plain.value)


def _same_unit(left: frozenset[str], right: frozenset[str]) -> bool:
    """Whether one unit says no more than the other: `apples left` is `apples`, `cm` is not `m`."""
    if not left or not right:
        return True
    return left & _MODIFIERS == right & _MODIFIERS and (left <= right or right <= left)


def _value(match: re.Match[str]) -> Fraction | None:
    sign = -1 if "-" in (match["sign"], match["sign2"]) else 1
    if match["number"]:
        exponent = int(match["e"] or match["power"] or match["power_digit"] or 0)
        return sign * _number(match["number"]) * Fraction(10) ** exponent
    whole = int(match["whole"] or match["whole2"] or 0)
    top = _number(match["over"] or match["top"] or match["top_digit"])
    bottom = _number(match["under"] or match["bottom"] or match["bottom_digit"])
    if bottom == 0 or (whole and (top < 0 or bottom < 0)):
        return None
    return sign * (whole + top / bottom)


def _number(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", ""))


def _in_base(digits: str, base: int) -> Quantity | None:
    r"""`204_5` is a number of its own base; the base serves as its unit."""
    if not 2 <= base <= 10 or any(int(digit) >= base for digit in digits):
        return None
    return Quantity(Fraction(int(digits)), unit=frozenset({f"base {base}"}))


def _unit(rest: str) -> set[str] | None:
    """The words of a unit; None where the rest may be a factor, as in `5x`, or is no unit at all."""
    words: set[str] = set()
    end = 0
    rest = rest.replace("p.m", "pm").replace("a.m", "am")
    for match in _UNIT_PARTS.finditer(rest):
        if match.start() != end:
            return None
        end = match.end()
        found = _unit_words(match, spaced=rest[: match.start()].endswith((" ", "/", "-")))
        if found is None:
            return None
        words.update(found)
    return words - {"unit"} if end == len(rest) else None


def _unit_words(match: re.Match[str], spaced: bool) -> list[str] | None:
    written, degree, exponent, exponent_digit, bare, mark = match.groups()
    if bare:
        return [_singular(bare)] if _is_unit(bare, spaced) else None
    if written is not None:
        return [_singular(word) for word in _WORD.findall(written)]
    if degree:
        return ["degree"]
    if mark:
        return ["per"] if mark == "/" else []
    return [_EXPONENTS[exponent or exponent_digit]]


def _is_unit(word: str, spaced: bool) -> bool:
    """Whether a bare word is a unit rather than a product of letters: `5 apples`, `5cm`, not `5 xy`."""
    if _singular(word) in _ALIASES.values() and len(word) > 1:
        return True
    return spaced and len(word) >= 3 and any(vowel in word.lower() for vowel in "aeiou")


def _singular(word: str) -> str:
    word = word.lower()
    if word not in _ALIASES and len(word) > 2 and word.endswith("s"):
        word = word[:-1]
    return _ALIASES.get(word, word)
