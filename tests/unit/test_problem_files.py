"""Problems from files: what loads, and the one line about what does not."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cruxtune.errors import ProblemError
from cruxtune.problems import Columns, load_gsm8k, load_math, read_rows, to_problems
from cruxtune.problems.math import last_boxed
from cruxtune.records import AnswerKind, Problem

ROWS = [{"question": "1 + 1?", "answer": "2"}, {"question": "2 + 2?", "answer": "4"}]


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def load(path, columns=None, kind=AnswerKind.MATH) -> list[Problem]:
    return to_problems(read_rows(path), columns or Columns(), kind, path.stem)


def complaint(path, columns=None, kind=AnswerKind.MATH) -> str:
    with pytest.raises(ProblemError) as caught:
        load(path, columns, kind)
    message = str(caught.value)
    assert "\n" not in message
    return message


def lines(rows) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def test_jsonl_csv_and_parquet_hold_the_same_problems(write, tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "own.parquet")
    paths = [
        write("own.jsonl", lines(ROWS)),
        write("own.csv", "question,answer\n1 + 1?,2\n2 + 2?,4\n"),
        tmp_path / "own.parquet",
    ]
    expected = [
        Problem("own/0", "1 + 1?", "2", AnswerKind.MATH, "own"),
        Problem("own/1", "2 + 2?", "4", AnswerKind.MATH, "own"),
    ]
    assert [load(path) for path in paths] == [expected] * 3


def test_columns_can_have_other_names_and_ids_of_their_own(write):
    path = write("own.jsonl", lines([{"q": "1 + 1?", "a": 2, "n": 7}]))
    (problem,) = load(path, Columns(question="q", answer="a", id="n"))
    assert (problem.id, problem.question, problem.answer) == ("7", "1 + 1?", "2")


@pytest.mark.parametrize("name", ["own.jsonl", "own.csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(write, name):
    text = lines(ROWS) if name.endswith("jsonl") else "question,answer\n1 + 1?,2\n2 + 2?,4\n"
    assert [problem.answer for problem in load(write(name, b"\xef\xbb\xbf" + text.encode()))] == ["2", "4"]


def test_blank_lines_in_jsonl_are_skipped(write):
    assert len(load(write("own.jsonl", lines(ROWS).replace("\n", "\n\n")))) == 2


def test_csv_cells_may_hold_commas_and_line_ends(write):
    (problem,) = load(write("own.csv", 'question,answer\n"a, b\nc",2\n'))
    assert problem.question == "a, b\nc"


def test_a_question_of_20000_characters_loads(write):
    question = "word " * 3999 + "words"
    assert len(question) == 20_000
    for path in (
        write("own.jsonl", lines([{"question": question, "answer": "2"}])),
        write("own.csv", f"question,answer\n{question * 10},2\n"),
    ):
        assert load(path)[0].question.startswith(question)


@pytest.mark.parametrize("name", ["own.jsonl", "own.csv", "own.parquet"])
def test_an_empty_file_is_named(write, name):
    assert complaint(write(name, "")).endswith(f"{name} is empty")


@pytest.mark.parametrize(("name", "content"), [("own.jsonl", "\n\n"), ("own.csv", "question,answer\n")])
def test_a_file_without_rows_holds_no_problems(write, name, content):
    assert complaint(write(name, content)) == "own holds no problems"


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert complaint(tmp_path / "own.jsonl") == f"there is no file {tmp_path / 'own.jsonl'}"


def test_an_unknown_ending_lists_the_known_ones(write):
    assert "must end in .jsonl, .csv, .parquet" in complaint(write("own.txt", "x"))


def test_a_file_that_may_not_be_read_is_named(write, monkeypatch):
    path = write("own.jsonl", lines(ROWS))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    assert complaint(path) == f"can't read {path}: Permission denied"


@pytest.mark.parametrize(
    ("row", "columns", "expected"),
    [
        (
            {"q": "x", "answer": "2"},
            Columns(),
            "own, row 1: there is no column 'question', only 'q', 'answer'",
        ),
        ({"question": "x", "gold": "2"}, Columns(), "own, row 1: there is no column 'answer'"),
        (ROWS[0], Columns(question="Q"), "own, row 1: there is no column 'Q'"),
        (ROWS[0], Columns(id="id"), "own, row 1: there is no column 'id'"),
        (ROWS[0], Columns(choices="options"), "own, row 1: there is no column 'options'"),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(write, row, columns, expected):
    assert complaint(write("own.jsonl", lines([row])), columns).startswith(expected)


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        (Columns(question="Q"), "question_column"),
        (Columns(answer="A"), "answer_column"),
        (Columns(id="I"), "id_column"),
        (Columns(choices="C"), "choices_column"),
    ],
)
def test_the_remedy_for_a_missing_column_names_its_setting(write, columns, key):
    assert complaint(write("own.jsonl", lines(ROWS)), columns).endswith(f"name the right one with {key}")


def test_a_row_that_lacks_a_column_is_counted_from_1(write):
    path = write("own.jsonl", lines([*ROWS, {"question": "x"}]))
    assert complaint(path).startswith("own, row 3: there is no column 'answer'")


@pytest.mark.parametrize("value", ["", "  ", None])
def test_an_empty_cell_is_named(write, value):
    path = write("own.jsonl", lines([ROWS[0], {"question": "x", "answer": value}]))
    assert complaint(path) == "own, row 2: the column 'answer' is empty"


def test_a_duplicate_id_names_both_rows(write):
    rows = [{"id": name, **ROWS[0]} for name in ("a", "b", "a")]
    message = complaint(write("own.jsonl", lines(rows)), Columns(id="id"))
    assert message.startswith("own: rows 1 and 3 have the same id 'a'")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"question": "x"', "line 3 is not JSON"),
        ("[1, 2]", "line 3 is list, not an object with named columns"),
        ('"text"', "line 3 is str, not an object"),
        ('{"question": ' + "1" * 5000 + "}", "line 3 is not JSON"),
    ],
)
def test_a_bad_line_is_named_by_its_number(write, line, expected):
    assert expected in complaint(write("own.jsonl", lines(ROWS) + line + "\n"))


@pytest.mark.parametrize("row", ["3 + 3?", "3 + 3?,6,extra"])
def test_a_ragged_csv_row_is_named_by_its_line(write, row):
    path = write("own.csv", f'question,answer\n"1\n+ 1?",2\n{row}\n')
    assert "line 4 has another number of fields than the header" in complaint(path)


def test_broken_quotes_in_csv_are_named_by_their_line(write):
    assert "line 3 is not CSV" in complaint(write("own.csv", 'question,answer\n1 + 1?,2\n"3" + 3?,6\n'))


def test_text_in_another_encoding_is_named(write):
    assert "is not UTF-8 text" in complaint(write("own.jsonl", b'{"question": "\xe9", "answer": "2"}'))


def test_half_a_character_is_named_since_no_tokenizer_takes_it(write):
    path = write("own.jsonl", '{"question": "a \\ud83d b", "answer": "2"}\n')
    assert complaint(path) == "own, row 1: the column 'question' holds half a character (a lone surrogate)"


def test_a_broken_parquet_file_is_named(write):
    assert "is not a whole Parquet file" in complaint(write("own.parquet", b"PAR1 no more"))


def test_parquet_in_a_folder_that_looks_like_a_partition_has_its_own_columns(tmp_path):
    (tmp_path / "answer=9").mkdir()
    path = tmp_path / "answer=9" / "own.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    assert [problem.answer for problem in load(path)] == ["2", "4"]


@pytest.mark.parametrize("options", [["red", "blue"], {"A": "red", "B": "blue"}, {"B": "blue", "A": "red"}])
def test_options_are_a_list_or_an_object_by_letter(write, options):
    path = write("own.jsonl", lines([{"question": "x", "answer": "A", "options": options}]))
    assert load(path, Columns(choices="options"), AnswerKind.CHOICE)[0].choices == ("red", "blue")


@pytest.mark.parametrize("options", ["red", 3, None, [str(number) for number in range(27)]])
def test_options_that_have_no_letters_are_refused(write, options):
    path = write("own.jsonl", lines([{"question": "x", "answer": "A", "options": options}]))
    assert "the column 'options' must hold a list of" in complaint(path, Columns(choices="options"))


def test_all_of_gsm8k_loads(shared_data):
    train = load_gsm8k("train", shared_data / "gsm8k" / "train.jsonl")
    assert len(train) == 7_473
    assert (train[0].id, train[0].answer, train[0].kind) == ("gsm8k/train/0", "72", AnswerKind.MATH)
    assert train[0].question.startswith("Natalia sold clips")
    assert len(load_gsm8k("test", shared_data / "gsm8k" / "test.jsonl")) == 1_319


def test_all_of_math_but_two_rows_without_an_answer_loads(shared_data, caplog):
    problems = load_math("train", shared_data / "math" / "train.jsonl")
    assert len(problems) == 7_500 - 2
    assert caplog.messages == ["math/train: 2 of 7500 rows have no answer and are left out"]
    assert (problems[0].id, problems[0].answer) == ("math/train/0", "16")
    ids = {problem.id for problem in problems}
    assert "math/train/7036" not in ids and "math/train/7499" in ids


def test_the_last_boxed_answers_of_math_are_those_that_the_data_names(shared_data):
    path = shared_data / "math" / "train.jsonl"
    named = {f"math/train/{index}": row["answer"] for index, row in enumerate(read_rows(path))}
    problems = load_math("train", path)
    differing = [p for p in problems if p.answer.split() != named[p.id].split()]
    assert differing == []


def test_an_adapter_names_the_row_that_it_cannot_read(write):
    with pytest.raises(ProblemError, match=r"gsm8k/train, row 2: the answer has no `####` line: 'x'"):
        load_gsm8k("train", write("a.jsonl", lines([{"question": "q", "answer": "#### 1"}, {"answer": "x"}])))
    with pytest.raises(ProblemError, match=r"math/train, row 2: the solution has no \\boxed answer"):
        rows = [{"problem": "q", "solution": "\\boxed{1}"}, {"problem": "q"}]
        load_math("train", write("b.jsonl", lines(rows)))
    with pytest.raises(ProblemError, match="there is no column 'question'"):
        load_gsm8k("train", write("c.jsonl", lines([{"answer": "#### 1"}])))


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"so $\boxed{16}$ pairings", "16"),
        (r"\boxed{1} and then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\text{a}_{\{b\}}}", r"\text{a}_{\{b\}}"),
        (r"\fbox{7}", "7"),
        (r"$\boxed 5$.", "5"),
        (r"\boxed {8}", "8"),
        (r"\boxed{}", ""),
    ],
)
def test_the_last_box_counts_whole(solution, answer):
    assert last_boxed(solution) == answer


@pytest.mark.parametrize("solution", ["", "none here", r"\boxed{1"])
def test_a_solution_without_a_whole_box_is_refused(solution):
    with pytest.raises(ProblemError):
        last_boxed(solution)
