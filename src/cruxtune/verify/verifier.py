"""Problem and text to grade: extraction here, plain answers here, algebra in processes that can be killed."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from cruxtune.errors import ProblemError
from cruxtune.records import AnswerKind, FinishReason, Grade, Problem, Verdict
from cruxtune.verify.choice import as_letter
from cruxtune.verify.equivalence import compare_plainly
from cruxtune.verify.extract import extract_answer
from cruxtune.verify.process import DEFAULT_MAX_MEMORY_BYTES, DEFAULT_TIMEOUT, AlgebraProcess
from cruxtune.verify.settled import is_settled

Submission = tuple[Problem, str, FinishReason | None]
"""What is graded: the problem, the text written in answer, why the writing stopped (if known)."""

_VERDICTS = {True: Verdict.CORRECT, False: Verdict.INCORRECT, None: Verdict.UNGRADED}


class Verifier:
    """Grades responses; a context manager, because it may own processes.

    Processes are started by the first answer that needs algebra and import no torch. An answer that
    takes more than `timeout` seconds or `max_memory_bytes` is UNGRADED and its process replaced.
    Comparisons are remembered, the fruitless ones too: counterfactual rollouts repeat their answers.
    Safe to use from several threads.
    """

    def __init__(
        self,
        timeout: float = DEFAULT_TIMEOUT,
        num_workers: int = 1,
        max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES,
    ) -> None:
        self._processes = [AlgebraProcess(timeout, max_memory_bytes) for _ in range(num_workers)]
        self._idle: SimpleQueue[AlgebraProcess] = SimpleQueue()
        for process in self._processes:
            self._idle.put(process)
        self._compared: dict[tuple[AnswerKind, str, str], bool | None] = {}

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.close()

    def verify(self, problem: Problem, text: str, finish_reason: FinishReason | None = None) -> Grade:
        """The grade of one response; raises ProblemError where the problem has no usable answer."""
        return self.verify_many([(problem, text, finish_reason)])[0]

    def verify_many(self, responses: Iterable[Submission]) -> list[Grade]:
        """The grades of many responses, in their order."""
        responses = list(responses)
        references = [_reference(problem) for problem, _, _ in responses]
        answers = [_answer(problem, text) for problem, text, _ in responses]
        self._compare_all(
            [
                (response[0].kind, reference, answer)
                for response, reference, answer in zip(responses, references, answers, strict=True)
                if answer is not None and not _is_cut_off(response)
            ]
        )
        return [
            Grade(self._verdict(response, reference, answer), answer)
            for response, reference, answer in zip(responses, references, answers, strict=True)
        ]

    def _verdict(self, response: Submission, reference: str, answer: str | None) -> Verdict:
        if _is_cut_off(response):
            return Verdict.TRUNCATED
        if answer is None:
            return Verdict.NO_ANSWER
        return _VERDICTS[self._compared[response[0].kind, reference, answer]]

    def _compare_all(self, pairs: Sequence[tuple[AnswerKind, str, str]]) -> None:
        """Fill the memory: the plain pairs at once, the others by as many processes as there are."""
        hard = []
        for pair in dict.fromkeys(pairs):
            if pair in self._compared:
                continue
            if (verdict := _compare_plainly(*pair)) is None:
                hard.append(pair)
            else:
                self._compared[pair] = verdict
        if hard:
            with ThreadPoolExecutor(len(self._processes)) as threads:
                for pair, verdict in zip(hard, threads.map(self._by_algebra, hard), strict=True):
                    self._compared[pair] = verdict

    def _by_algebra(self, pair: tuple[AnswerKind, str, str]) -> bool | None:
        process = self._idle.get()
        try:
            return process.ask(pair[1], pair[2])
        finally:
            self._idle.put(process)


def _is_cut_off(response: Submission) -> bool:
    """Whether the length limit came before the answer was settled."""
    problem, text, finish_reason = response
    return finish_reason is FinishReason.LENGTH and not is_settled(text, problem.kind)


def _compare_plainly(kind: AnswerKind, reference: str, answer: str) -> bool | None:
    return reference == answer if kind is AnswerKind.CHOICE else compare_plainly(reference, answer)


def _reference(problem: Problem) -> str:
    """The reference answer to compare with: for a choice, its letter."""
    is_math = problem.kind is AnswerKind.MATH
    reference = problem.answer.strip() if is_math else as_letter(problem.answer, problem.choices)
    if not reference:
        raise ProblemError(
            f"problem {problem.id} has the answer {problem.answer!r}, which nothing can be compared with: "
            "give it a value (for a multiple choice a letter or an option's text) or leave the problem out"
        )
    return reference


def _answer(problem: Problem, text: str) -> str | None:
    """The extracted answer; for a choice without a letter, the letter of the option that is spelt out."""
    answer = extract_answer(text, problem.kind)
    if answer is None and problem.kind is AnswerKind.CHOICE and problem.choices:
        spelt = extract_answer(text)
        answer = as_letter(spelt, problem.choices) if spelt else None
    return answer
