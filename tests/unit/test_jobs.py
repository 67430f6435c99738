"""What an engine elsewhere is asked to do: of what came back, nothing is asked for again."""

import os
import shutil
import signal
import sys
import time

import pytest

from cruxtune.counterfactual import Evidence, Task
from cruxtune.errors import ClusterError
from cruxtune.models import ModelFiles, find_model
from cruxtune.recipe import parse_recipe
from cruxtune.records import Position, Problem, Verdict
from cruxtune.stages.cluster import OnRay
from cruxtune.stages.jobs import AnnotateJob, PartJob
from cruxtune.stages.processes import Shift, open_processes
from cruxtune.stages.worker import take_device

PROBLEM = Problem("s", "?", "3")
RECIPE = """
problems = { type = "synthetic" }
select = { sft = { type = "all" } }
train = { selections = ["sft"] }
evaluate = { benchmarks = { test = { type = "synthetic" } } }
cluster = { num_actors = 2, max_deaths = 2 }
"""


def asked_for(job: AnnotateJob) -> list[Task]:
    """What an actor would be given now."""
    given: list[Task] = []
    list(job.flow(lambda tasks: given.extend(tasks) or [], job.left))
    return given


def test_what_came_back_is_not_asked_for_again(make_solution, make_rollout):
    one, two = make_solution("s"), make_solution("t")
    job = AnnotateJob([Task(PROBLEM, one), Task(PROBLEM, two)])
    positions = [Position("t", n, n, "x", 0.5, 1.0, 1.0, [9], [0.25]) for n in range(3)]
    rollouts = [make_rollout(n, 2, Verdict.CORRECT, solution_id="t") for n in range(3)]
    for piece in (
        Evidence(positions, rollouts[:1]),
        Evidence([], rollouts[1:2]),
        Evidence([], [make_rollout(0, 2, Verdict.CORRECT)], ["s"]),
    ):
        assert job.receive(piece) is piece
    assert asked_for(job) == [Task(PROBLEM, two, positions, rollouts[:2])]
    assert str(job) == "the solutions t"


def test_a_part_is_one_piece():
    job = PartJob([(3, [PROBLEM])])
    (piece,) = job.flow(lambda index, problems: [(index, problem.id) for problem in problems], job.left)
    assert job.receive(piece) == (3, [(3, "s")])
    assert job.left == []


def test_work_on_which_actors_die_again_and_again_is_given_up_with_a_reason(tmp_path, caplog):
    recipe = parse_recipe(RECIPE)
    crew, job = OnRay(recipe, ModelFiles("m", tmp_path)), PartJob([(3, [PROBLEM])])
    crew.bury(job, RuntimeError("out of memory\nand more"))
    assert "an actor died on part 3 and is replaced: out of memory" in caplog.text
    with pytest.raises(ClusterError, match=r"2 actors died .* on part 3, .*: out of memory\. What was found"):
        crew.bury(job, RuntimeError("out of memory"))


def test_deaths_count_only_one_after_the_other(make_solution):
    job = AnnotateJob([Task(PROBLEM, make_solution("s"))])
    job.add(Task(PROBLEM, make_solution("t")))
    job.num_deaths = 1
    job.receive(Evidence([], []))
    assert job.num_deaths == 1
    job.receive(Evidence([], [], ["s"]))
    assert job.num_deaths == 0 and str(job) == "the solutions t"


def test_what_a_dead_worker_left_comes_first_and_what_none_had_comes_once():
    waiting = iter([(0, [PROBLEM]), (1, [PROBLEM]), (2, [PROBLEM])])
    shift = Shift(len, PartJob(), waiting)
    assert [shift.next()[0], shift.next()[0]] == [0, 1]
    shift.job.receive((0, []))
    shift = shift.again()
    assert [shift.next()[0], shift.next()[0], shift.next()] == [1, 2, None]


@pytest.mark.parametrize(
    ("visible", "num_workers", "expected"),
    [("3,5", 4, [("3", 0.5), ("5", 0.5), ("3", 0.5), ("5", 0.5)]), ("", 2, [("", 0.5), ("", 0.5)])],
)
def test_workers_share_gpus_evenly_or_the_memory_of_the_machine(visible, num_workers, expected, monkeypatch):
    for index in range(num_workers):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        share = take_device(index, num_workers)
        assert (os.environ["CUDA_VISIBLE_DEVICES"], share) == expected[index]


def open_pid_work(recipe, engine, verifier):
    """Imported by the workers too."""
    return lambda index, problems: [os.getpid()]


@pytest.fixture
def crew(tmp_path, tiny_files):
    recipe = parse_recipe(RECIPE)
    with open_processes(recipe, find_model(str(tiny_files)), 1) as crew:
        yield crew


def test_a_worker_that_died_while_nobody_spoke_to_it_is_replaced(crew, caplog):
    ((_, [first]),) = crew.each(open_pid_work, [(0, [])])
    os.kill(first, signal.SIGKILL)
    time.sleep(0.5)
    ((_, [second]),) = crew.each(open_pid_work, [(1, [])])
    assert second != first and "a worker died before it had any work and is replaced" in caplog.text


def test_a_mistake_in_the_parent_is_no_death_of_a_worker(crew):
    def parts():
        yield 0, []
        raise FileNotFoundError("the journal is gone")

    with pytest.raises(FileNotFoundError, match="the journal is gone"):
        list(crew._run(open_pid_work, PartJob, parts(), 2))


def test_workers_that_can_not_start_are_given_up_with_a_reason(crew, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ClusterError, match="the last one before it had any work: it ended with code 1"):
        list(crew.each(open_pid_work, [(0, [])]))
