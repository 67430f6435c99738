"""What is seen of a long job: numbers beside the bar, and in a log a line now and then."""

import re

import cruxtune.progress
from cruxtune.counterfactual import Evidence
from cruxtune.progress import progress_bar
from cruxtune.records import Verdict
from cruxtune.stages.pace import Pace

LOST, KEPT, UNGRADED = Verdict.INCORRECT, Verdict.CORRECT, Verdict.UNGRADED


def test_a_log_shows_a_line_when_one_is_due(capsys, monkeypatch):
    with progress_bar("solve", total=1200, done=200) as bar:
        bar.advance(300)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(cruxtune.progress, "LINE_SECONDS", 0.0)
        bar.note("fast")
        bar.advance(100)
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"solve: 500 of 1,200 in \d s, fast", first)
    assert re.fullmatch(r"solve: 600 of 1,200 in \d s, \d s left, fast", second)


def test_a_position_is_critical_when_every_rank_lost_the_answer(make_rollout):
    verdicts = {
        (0, 2): LOST, (0, 3): LOST,
        (1, 2): LOST, (1, 3): KEPT,
        (2, 2): KEPT,
        (3, 2): KEPT, (3, 3): KEPT,
        (4, 2): UNGRADED, (4, 3): LOST,
        (5, 2): LOST,
    }  # fmt: skip
    with progress_bar("annotate", total=2) as bar:
        pace = Pace(bar, k=3)
        for (position, rank), verdict in verdicts.items():
            pace.take(Evidence(rollouts=[make_rollout(position, rank, verdict)]))
        assert re.fullmatch(r"10 rollouts, [\d,]+ tokens/s, 25\.0 % critical", str(pace))
        pace.take(Evidence(finished=["s"]))
        pace.take(Evidence(rollouts=[make_rollout(0, 2, LOST, solution_id="t")]))
    assert "11 rollouts" in str(pace) and "25.0 % critical" in str(pace)


def test_a_bar_inside_another_is_gone_when_it_is_done(capsys, monkeypatch):
    with progress_bar("sweep", total=3) as outer:
        with progress_bar("train", total=2) as inner:
            inner.advance(2)
        monkeypatch.setattr(cruxtune.progress, "LINE_SECONDS", 0.0)
        outer.advance()
        with progress_bar("train", total=5) as inner:
            inner.advance()
    lines = [line.split(" in ")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["sweep: 1 of 3", "train: 1 of 5"]
