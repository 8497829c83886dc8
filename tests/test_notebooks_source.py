"""Committed notebooks: prose and calls, no logic, no outputs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMETERS = {"dataset": "data/sample", "month": "", "lang": "en", "where": "", "today": ""}
LOGIC = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.If,
    ast.IfExp,
    ast.Try,
)
SQL = re.compile(r"\b(select\b.+\bfrom|insert into|create table|group by|join\b.+\bon)\b", re.IGNORECASE | re.DOTALL)


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request) -> list[dict]:
    notebook = json.loads(request.param.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return notebook["cells"]


@pytest.fixture
def code(cells) -> list[dict]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_four_notebooks_are_there():
    assert {path.stem for path in NOTEBOOKS} == {"pulse", "response_time", "pipeline", "retention"}


def test_a_title_and_the_question_come_first(cells):
    assert cells[0]["cell_type"] == "markdown"
    title, _, question = source(cells[0]).partition("\n")
    assert re.match(r"# \S", title)
    assert question.strip(), "the question in plain words"
    assert sum(line.startswith("# ") for cell in cells if cell["cell_type"] == "markdown" for line in source(cell).splitlines()) == 1


def test_committed_without_outputs(code):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_no_logic_in_cells(code):
    for cell in code:
        found = [type(node).__name__ for node in ast.walk(ast.parse(source(cell))) if isinstance(node, LOGIC)]
        assert not found, source(cell)
        assert not SQL.search(source(cell)), source(cell)
        assert not re.search(r"^\s*[%!]", source(cell), re.MULTILINE), "no magic, no shell"


def test_logic_would_be_seen():
    for text in ("[x for x in y]", "def f(): pass", "while True: pass", "f = lambda x: x", "a if b else c"):
        assert any(isinstance(node, LOGIC) for node in ast.walk(ast.parse(text)))
    assert SQL.search("data.sql('select a from b')")
    assert not SQL.search("display(chapters.selected(about)) # taken from the join")


def test_at_most_a_dozen_lines_a_cell(code):
    assert all(len(source(cell).splitlines()) <= 12 for cell in code)
    assert all(len(line) <= 150 for cell in code for line in source(cell).splitlines())


def test_one_cell_of_parameters_one_plain_literal_a_line(code):
    tagged = [cell for cell in code if "parameters" in tags(cell)]
    assert len(tagged) == 1
    assert tagged[0] is code[0]
    lines = source(tagged[0]).splitlines()
    found = {}
    for line in lines:
        (statement,) = ast.parse(line).body
        assert isinstance(statement, ast.Assign), line
        (target,) = statement.targets
        found[target.id] = ast.literal_eval(statement.value)
    assert found == PARAMETERS
    assert len(lines) == len(found)


def test_default_dataset_is_there():
    assert (ROOT / PARAMETERS["dataset"] / "kpi.toml").is_file()


def test_cells_have_stable_ids_of_their_own(cells):
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids)


def test_a_section_opens_with_a_question_and_definitions_with_a_heading(cells):
    for cell in cells:
        if cell["cell_type"] == "markdown" and "definition" in tags(cell):
            assert source(cell).startswith("### ")
        elif cell["cell_type"] == "markdown" and "notebook-only" not in tags(cell):
            first = source(cell).splitlines()[0]
            assert first.startswith("## "), first
            assert first.endswith("?"), first


def test_nothing_is_imported_but_the_kit_and_display(code):
    for cell in code:
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} == {"kpi"}
            elif isinstance(node, ast.ImportFrom):
                assert node.module in ("kpi", "IPython.display")


def test_metadata_name_no_machine():
    for path in NOTEBOOKS:
        metadata = json.loads(path.read_text("utf-8"))["metadata"]
        assert metadata["kernelspec"]["name"] == "python3"
        assert set(metadata) <= {"kernelspec", "language_info"}
        assert set(metadata["language_info"]) <= {"name"}  # a version would change with whoever opened it
