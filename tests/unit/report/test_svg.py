"""The picture of one solution."""

from xml.etree import ElementTree

from cruxtune.records import Criticality
from cruxtune.report.content import ShownSolution, ShownToken
from cruxtune.report.svg import Cell, solution_svg, wrap

SVG = "{http://www.w3.org/2000/svg}"


def shown(*texts: str, critical: tuple[int, ...] = (), question: str = "How many?") -> ShownSolution:
    states = [Criticality.CRITICAL if i in critical else Criticality.NOT_CRITICAL for i in range(len(texts))]
    tokens = tuple(ShownToken(text, state, 0.5, 1.0, ()) for text, state in zip(texts, states, strict=True))
    return ShownSolution("gsm8k/train/1", question, "7", tokens)


def texts_of(svg: str, style: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [element.text or "" for element in root.iter(f"{SVG}text") if element.get("class") == style]


def test_critical_tokens_are_marked_and_the_others_are_not():
    svg = solution_svg(shown("She", " has", " 7", " cats", critical=(2,)))
    assert texts_of(svg, "critical") == ["7", "critical"]
    assert texts_of(svg, "token") == ["She has", "cats"]


def test_hostile_text_is_text():
    attack = '</text><script>alert("x")</script>\x00'
    svg = solution_svg(shown(attack, attack, critical=(1,), question=attack))
    assert "<script" not in svg
    assert texts_of(svg, "critical")[0] == attack.replace("\x00", "\ufffd")


def test_a_marked_line_break_is_visible():
    assert "⏎" in texts_of(solution_svg(shown("a", "\n", "b", critical=(1,))), "critical")


def test_lines_break_at_spaces_and_cut_only_what_is_too_long():
    lines = wrap([Cell(character, None) for character in "ab cd efghijk\nl"], 5)
    assert ["".join(cell.character for cell in line).strip() for line in lines] == [
        "ab cd",
        "efghi",
        "jk",
        "l",
    ]


def test_an_empty_solution_and_equal_ones_give_equal_pictures():
    assert texts_of(solution_svg(shown()), "token") == []
    assert solution_svg(shown("a", critical=(0,))) == solution_svg(shown("a", critical=(0,)))
