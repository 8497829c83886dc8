"""A notebook on its way in, put into the reader's language, and on its way out, freed of all that differs from run to run."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat

from kpi.errors import RunError
from kpi.presentation.language import Words

# Memory addresses, and the names that a kernel gives to its cells in warnings.
NOISE = ((re.compile(r"\b0x[0-9a-f]{6,}\b"), "0x0"), (re.compile(r"\S*ipykernel_\d+\W+\d+\.py"), "cell.py"))
INJECTED = "injected-parameters"  # tag that papermill gives to the cell with the values of a run


def prepared(path: Path, words: Words, parameters: Sequence[str]) -> nbformat.NotebookNode:
    """Read a notebook and put its text into the reader's language."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise RunError(f"{path.name} cannot be read as a notebook: {error}") from None
    tagged = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise RunError(f"{path.name} has {len(tagged)} cells tagged parameters, it needs one")
    lacking = [name for name in parameters if name not in _assigned(tagged[0], path)]
    if lacking:
        raise RunError(f"{path.name} does not set {', '.join(lacking)} in its cell tagged parameters")
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = words.translate(cell.source)
    return notebook


def normalised(notebook: nbformat.NotebookNode, names: Mapping[str, str]) -> nbformat.NotebookNode:
    """Free an executed notebook of run times, paths, random ids and memory addresses: the same inputs give the same bytes."""
    clean = copy.deepcopy(notebook)
    clean.metadata.pop("papermill", None)
    for cell in clean.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if INJECTED in cell.metadata.get("tags", []):
            cell["id"] = INJECTED
            cell.source = _renamed(cell.source, names)
        if cell.cell_type == "code":
            cell.outputs = _joined([_stable(output, names) for output in cell.outputs])
    return clean


def _stable(output: nbformat.NotebookNode, names: Mapping[str, str]) -> nbformat.NotebookNode:
    if output.output_type == "stream":
        output.text = _quiet(_renamed(output.text, names))
    elif output.output_type == "error":
        output.traceback = [_renamed(line, names) for line in output.traceback]
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(content, str):
            content = _renamed(content, names)
            output.data[kind] = _quiet(content) if kind == "text/plain" else content
    return output


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for path in sorted(names, key=len, reverse=True):
        # A path inside Python or JSON text has its backslashes doubled.
        for written in {path, path.replace("\\", "\\\\")}:
            text = text.replace(written, names[path])
    return text


def _quiet(text: str) -> str:
    for pattern, put in NOISE:
        text = pattern.sub(put, text)
    return text


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Streams arrive in pieces, cut where the kernel happened to flush."""
    whole: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = whole[-1] if whole else None
        if last is not None and output.output_type == "stream" and last.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            whole.append(output)
    return whole


def _assigned(source: str, path: Path) -> set[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise RunError(f"{path.name}: its cell tagged parameters is not Python: {error.msg}") from None
    return {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}
