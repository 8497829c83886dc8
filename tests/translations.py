"""What there is to translate, in code, records of KPIs and notebooks; ``python -m tests.translations`` updates the catalogue."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.pofile import read_po, write_po

from kpi.errors import ParameterError
from kpi.presentation.language.translations import LOCALE

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent
_TEXTS = {"say": 1, "say_n": 2, "N_": 1}  # how many leading arguments of each are texts
_HEADER = """\
# French texts of the kit. `python -m tests.translations` brings in what is new in the code and the notebooks and drops what is gone.
# Plain spaces before ? ! ; : % and inside « » become fine ones when read, and ' between letters an apostrophe.
msgid ""
msgstr ""
"Language: fr\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\\n"

"""


def template(root: Path = CHECKOUT) -> Catalog:
    """Collect the texts to translate."""
    catalog = Catalog()
    for path in sorted((root / "kpi").rglob("*.py")):
        for found in _in_code(path, str(path.relative_to(root))):
            _add(catalog, found, path, root)
    for path in sorted((root / "kpi").glob("catalog.toml")):
        for record in tomllib.loads(path.read_text("utf-8")).values():
            for text in (record["name"], record["definition"], record.get("headline", {}).get("name", "")):
                _add(catalog, text, path, root)
    for path in sorted((root / "kpi").rglob("names.toml")):
        for names in tomllib.loads(path.read_text("utf-8")).values():
            for text in names.values():
                _add(catalog, text, path, root)
    for path in sorted((root / "kpi").rglob("tables.toml")):
        for table in tomllib.loads(path.read_text("utf-8")).values():
            for text in (table["title"], table.get("note", ""), *(column["label"] for column in table["columns"])):
                _add(catalog, text, path, root)
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                _add(catalog, "".join(cell["source"]), path, root)
    return catalog


def update(root: Path = CHECKOUT) -> tuple[int, int]:
    """Bring the French catalogue in line with the code and the notebooks, keeping what is translated."""
    path = LOCALE / "fr" / "LC_MESSAGES" / "kpi.po"
    catalog = read_po(BytesIO(path.read_bytes()), locale="fr")
    catalog.update(template(root), no_fuzzy_matching=True)
    for message in catalog:
        message.flags -= {"python-format", "python-brace-format"}  # guessed from any per cent sign
    written = BytesIO()
    write_po(written, catalog, width=110, omit_header=True, ignore_obsolete=True, include_lineno=False, sort_by_file=True)
    path.write_text(_HEADER + written.getvalue().decode().strip() + "\n", "utf-8")
    texts = [message for message in catalog if message.id]
    return len(texts), sum(not is_translated(message) for message in texts)


def is_translated(message: Message) -> bool:
    """Say whether a message has a translation, of a plural one both forms."""
    forms = message.string if isinstance(message.string, tuple) else (message.string,)
    return bool(forms) and all(forms) and not message.fuzzy


def _add(catalog: Catalog, text: str | tuple[str, str], path: Path, root: Path) -> None:
    if text:
        catalog.add(text, locations=[(path.relative_to(root).as_posix(), 0)])


def _in_code(path: Path, name: str) -> Iterator[str | tuple[str, str]]:
    """Texts said in a module. A choice between two literals counts as both, which gettext's own tools would run together."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        n_texts = _TEXTS.get(called, 0)
        texts = [list(_literals(argument, f"{name}:{node.lineno}")) for argument in node.args[:n_texts]]
        if n_texts == 2 and all(len(choice) == 1 for choice in texts):
            yield texts[0][0], texts[1][0]
        elif n_texts == 2:
            raise ParameterError(f"{name}:{node.lineno}: say_n takes its singular and its plural as literals")
        else:
            yield from (text for choice in texts for text in choice)


def _literals(node: ast.expr, place: str) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _literals(node.body, place)
        yield from _literals(node.orelse, place)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr | ast.BinOp):
        raise ParameterError(f"{place}: a text to translate is written as one literal, its values in {{places}}")


if __name__ == "__main__":
    print("{} texts, {} without a translation".format(*update()))
