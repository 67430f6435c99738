"""The verifier: verdicts in their order, and processes that hang, grow or die."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cruxtune.errors import ProblemError
from cruxtune.records import AnswerKind, FinishReason, Grade, Problem, Verdict
from cruxtune.verify import Verifier
from cruxtune.verify.process import AlgebraProcess

ENDLESS = "2^{2^{2^{2^{20}}}}"
THREE = Problem("test/3", "What is 1 + 2?", "3")
ROOT = Problem("test/0", "What is the root of 8?", "\\sqrt{8}")


def problem(answer: str, kind: AnswerKind = AnswerKind.MATH, choices: tuple[str, ...] = ()) -> Problem:
    return Problem("test/1", "?", answer, kind=kind, choices=choices)


def pid(verifier: Verifier) -> int:
    process = verifier._processes[0]._process
    assert process is not None
    return process.pid


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def verifier():
    with Verifier(timeout=3.0) as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("text", "finish_reason", "grade"),
    [
        ("#### 18", None, Grade(Verdict.CORRECT, "18")),
        ("#### 18", FinishReason.STOP, Grade(Verdict.CORRECT, "18")),
        ("#### 19", FinishReason.STOP_STRING, Grade(Verdict.INCORRECT, "19")),
        ("no idea", None, Grade(Verdict.NO_ANSWER, None)),
        ("#### 18", FinishReason.LENGTH, Grade(Verdict.TRUNCATED, "18")),
        ("no idea", FinishReason.LENGTH, Grade(Verdict.TRUNCATED, None)),
    ],
)
def test_verdicts_come_in_their_order(verifier, text, finish_reason, grade):
    assert verifier.verify(problem("18"), text, finish_reason) == grade


def test_plain_answers_start_no_process():
    with Verifier() as verifier:
        verifier.verify_many([(problem("18"), f"#### {n}", None) for n in range(100)])
        verifier.verify(ROOT, f"\\boxed{{{ENDLESS}}}", FinishReason.LENGTH)
        assert all(process._process is None for process in verifier._processes)


def test_grades_keep_the_order_of_the_responses(verifier):
    texts = ["\\boxed{2\\sqrt{2}}", "#### 3", "?", "\\boxed{\\sqrt{4\\cdot 2}}", "\\boxed{3\\sqrt{2}}"]
    verdicts = [grade.verdict for grade in verifier.verify_many((ROOT, text, None) for text in texts)]
    right, wrong, none = Verdict.CORRECT, Verdict.INCORRECT, Verdict.NO_ANSWER
    assert verdicts == [right, wrong, none, right, wrong]


@pytest.mark.parametrize(
    ("answer", "text", "verdict"),
    [
        ("B", "The answer is (B).", Verdict.CORRECT),
        ("Paris", "The answer is (B).", Verdict.CORRECT),
        ("B", "The answer is Paris.", Verdict.CORRECT),
        ("B", "The answer is A.", Verdict.INCORRECT),
        ("B", "A city.", Verdict.NO_ANSWER),
    ],
)
def test_choices_are_compared_by_letter(verifier, answer, text, verdict):
    assert verifier.verify(problem(answer, AnswerKind.CHOICE, ("Rome", "Paris")), text).verdict is verdict


@pytest.mark.parametrize("kind", AnswerKind)
def test_a_problem_without_an_answer_is_the_users_mistake(verifier, kind):
    with pytest.raises(ProblemError, match="test/1 has the answer ' '"):
        verifier.verify(problem(" ", kind), "#### 18")


@pytest.mark.parametrize("answer", [ENDLESS, "1000000000!", "\\sum_{n=1}^{10^9} n^n"])
def test_an_endless_answer_is_ungraded_and_the_next_one_graded(answer):
    with Verifier(timeout=0.5) as verifier:
        verifier.verify(ROOT, "\\boxed{2\\sqrt{2}}")
        started = time.monotonic()
        grades = verifier.verify_many(
            [(THREE, f"\\boxed{{{answer}}}", None), (ROOT, "\\boxed{\\sqrt{4\\cdot 2}}", None)]
        )
        assert time.monotonic() - started < 5
        assert [grade.verdict for grade in grades] == [Verdict.UNGRADED, Verdict.CORRECT]


def test_a_fruitless_comparison_is_remembered():
    with Verifier(timeout=0.5) as verifier:
        verifier.verify(THREE, f"\\boxed{{{ENDLESS}}}")
        started = time.monotonic()
        grades = verifier.verify_many([(THREE, f"\\boxed{{{ENDLESS}}}", None)] * 1000)
        assert time.monotonic() - started < 0.4
        assert {grade.verdict for grade in grades} == {Verdict.UNGRADED}


def test_a_process_killed_while_idle_is_replaced():
    with Verifier() as verifier:
        verifier.verify(ROOT, "\\boxed{2\\sqrt{2}}")
        first = pid(verifier)
        os.kill(first, signal.SIGKILL)
        assert verifier.verify(ROOT, "\\boxed{\\sqrt{4\\cdot 2}}").verdict is Verdict.CORRECT
        assert pid(verifier) != first


def test_a_process_that_dies_of_its_answer_leaves_only_that_ungraded(monkeypatch):
    with Verifier() as verifier:
        process = verifier._processes[0]
        running = process._running

        def dying():
            child = running()
            os.kill(child.pid, signal.SIGSTOP)
            threading.Timer(0.1, child.kill).start()
            return child

        monkeypatch.setattr(process, "_running", dying)
        assert verifier.verify(ROOT, "\\boxed{3\\sqrt{2}}").verdict is Verdict.UNGRADED
        monkeypatch.undo()
        assert verifier.verify(ROOT, "\\boxed{\\sqrt{4\\cdot 2}}").verdict is Verdict.CORRECT


def test_an_interrupted_question_does_not_answer_the_next_one(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    process = AlgebraProcess()
    assert process.ask("\\sqrt{8}", "2\\sqrt{2}") is True
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("cruxtune.verify.process._read_line", interrupted)
        process.ask("\\sqrt{8}", "2\\sqrt{2}")
    assert process.ask("\\sqrt{8}", "3\\sqrt{2}") is False
    process.close()


def test_a_worker_outlives_neither_its_parent_nor_its_time():
    code = (
        "from cruxtune.verify.process import AlgebraProcess; import os, threading\n"
        "asked = AlgebraProcess(timeout=1.0)\n"
        "asked.ask('x+x', '2x'); print(asked._process.pid, flush=True)\n"
        f"threading.Timer(0.3, os._exit, (0,)).start(); asked.ask('3', '{ENDLESS}')"
    )
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    deadline = time.monotonic() + 10
    while is_running(int(run.stdout)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(int(run.stdout))


def test_several_processes_share_the_work():
    with Verifier(num_workers=2) as verifier:
        grades = verifier.verify_many([(ROOT, f"\\boxed{{{n}\\sqrt{{2}}}}", None) for n in range(1, 20)])
        assert [grade.verdict is Verdict.CORRECT for grade in grades] == [n == 2 for n in range(1, 20)]


def test_too_little_memory_to_start_is_said_and_not_graded():
    with pytest.raises(RuntimeError, match="did not start in"):
        AlgebraProcess(max_memory_bytes=2**25).ask("\\sqrt{8}", "2\\sqrt{2}")


def test_closing_ends_the_processes():
    with Verifier() as verifier:
        verifier.verify(ROOT, "\\boxed{2\\sqrt{2}}")
        process = verifier._processes[0]._process
    assert process is not None
    assert process.poll() is not None
