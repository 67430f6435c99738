"""The page: what it shows, and that nothing in it can act."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cruxtune.evaluate import Estimate
from cruxtune.records import Criticality, Verdict
from cruxtune.report.content import Content, ShownAlternative, ShownSolution, ShownToken
from cruxtune.report.page import is_finding, render_page
from cruxtune.report.results import MethodRow

ATTACKS = ["<script>alert(1)</script>", "</script><b>", '"><img src=x onerror=alert(1)>', "<!--<script>"]


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and the text of its tokens and scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tokens: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        if (dict(attrs).get("class") or "").split(" ")[0] == "t":
            self.tokens.append("")

    def handle_data(self, data: str) -> None:
        tag, attrs = self.elements[-1] if self.elements else ("", {})
        if tag == "script":
            self.scripts[-1] += data
        elif tag == "b" or (attrs.get("class") or "").split(" ")[0] == "t":
            self.tokens[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}", {}))


def row(method: str, is_baseline: bool = False, has_samples: bool = True) -> MethodRow:
    estimate, gain = Estimate(0.5, 0.01), None if is_baseline else Estimate(0.03, 0.01)
    sampled = estimate if has_samples else None
    sampled_gain = gain if has_samples else None
    return MethodRow(method, "test", 3, 200, estimate, sampled, sampled, gain, sampled_gain, 0.01, 0.02, 90.0)


def content(text: str = " 7", **changes: object) -> Content:
    alternative = ShownAlternative(2, text, 0.1, text + " more", text, Verdict.INCORRECT)
    tokens = (
        ShownToken("She has", Criticality.NOT_CRITICAL, 0.9, 0.1, ()),
        ShownToken(text, Criticality.CRITICAL, 0.8, 0.5, (alternative,)),
        ShownToken("\n", Criticality.UNTESTED, 1.0, 0.0, ()),
    )
    whole = Content(
        title=f"Run {text}",
        facts=[(f"name {text}", f"value {text}")],
        baseline="sft",
        num_samples=4,
        rows={f"test {text}": [row("base"), row("sft", is_baseline=True), row(f"cft{text}")]},
        shares={"sft": 1.0, f"cft{text}": 0.1},
        pass_curves={f"test {text}": {"base": [0.4, 0.5, 0.6, 0.7], f"cft{text}": [0.5, 0.6, 0.7, 0.8]}},
        loss_curves={f"cft{text}-seed0": [2.0, 1.0], f"cft{text}-seed1": [2.2, 1.1, 1.0]},
        selections=[(f"cft{text}", 10, 100, 10.0)],
        solutions=[ShownSolution(f"id {text}", f"question {text}", f"reference {text}", tokens)],
        recipe=json.dumps({"name": text}),
    )
    return replace(whole, **changes)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_never_becomes_an_element(attack: str):
    harmless, hostile = Parsed(render_page(content())), Parsed(render_page(content(attack)))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert not [name for _, attrs in hostile.elements for name in attrs if name.startswith("on")]


@pytest.mark.parametrize("attack", ATTACKS)
def test_evidence_comes_back_as_it_was(attack: str):
    evidence = json.loads(Parsed(render_page(content(attack))).scripts[0])
    assert evidence[0][1] == [0.8, 0.5, [[2, attack, 0.1, attack + " more", attack, "incorrect"]]]


@pytest.mark.parametrize("text", [" 7", *ATTACKS])
def test_every_token_stands_in_order_and_critical_ones_are_marked(text: str):
    parsed = Parsed(render_page(content(text)))
    classes = [attrs["class"] for _, attrs in parsed.elements if "data-state" in attrs]
    assert parsed.tokens == ["She has", text, "\n"]
    assert classes == ["t", "t critical", "t untested"]


def test_a_screen_reader_hears_which_tokens_are_critical():
    labels = [attrs.get("aria-label") for _, attrs in Parsed(render_page(content())).elements]
    assert {"critical token: 7", "untested token: line break"} <= set(labels)


def test_equal_content_gives_equal_bytes():
    assert render_page(content()) == render_page(content())


def test_nothing_is_loaded_from_elsewhere():
    page = render_page(content())
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:|//)|url\(["']?(?!#)|@import""", page)
    assert "default-src 'none'" in page


def test_ids_are_unique_though_figures_share_a_page():
    ids = [attrs["id"] for _, attrs in Parsed(render_page(content())).elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_without_samples_there_is_no_pass_column():
    rows = {"test": [row("base", is_baseline=True, has_samples=False)]}
    bare = content(num_samples=0, rows=rows, pass_curves={"test": {"base": []}}, baseline="base")
    assert "Pass@" not in render_page(bare)


def test_a_run_with_nothing_to_show_still_gives_a_page():
    empty = ShownSolution("id", "", "", ())
    bare = content(rows={}, pass_curves={}, loss_curves={}, selections=[], solutions=[empty])
    assert "<svg" not in render_page(bare)
    assert "<h2" in render_page(replace(bare, solutions=[]))


def test_one_sample_and_one_step_can_be_drawn():
    page = render_page(content(num_samples=1, pass_curves={"t": {"base": [0.5]}}, loss_curves={"cft": [1.0]}))
    assert page.count('class="drawing"') == 2


def test_a_gain_below_two_standard_errors_is_no_finding():
    assert not is_finding(Estimate(0.019, 0.01))
    assert is_finding(Estimate(-0.02, 0.01))
    assert not is_finding(Estimate(0.0, 0.0))
    assert not is_finding(None)
