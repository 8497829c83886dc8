"""A page that needs no network and no script, from an executed notebook or, for all months, from what they say about themselves."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from kpi.presentation.blocks.markup import paragraph, style, text
from kpi.presentation.language import Words

TEMPLATE = Path(__file__).parent / "template"
Nav = Sequence[tuple[str, str, bool]]
_STYLE = re.compile(r'<style class="kpi-style">[^<]*</style>')
_BAND = re.compile(r'<p class="band">(.*?)</p>', re.DOTALL)
_BLOCK = re.compile(r'<div class="kpi"(?: data-block="(\w+)")?>')


@dataclass(frozen=True)
class Part:
    """One thing in a section: Markdown, a definition, a block, a table of pandas' own, or printed text."""

    kind: str
    source: str = ""
    summary: str = ""


@dataclass
class Section:
    """A reader's question and what answers it."""

    id: str = ""
    question: str = ""
    intro: str = ""
    is_quiet: bool = False
    is_absent: bool = False
    parts: list[Part] = field(default_factory=list)

    @property
    def is_shown(self) -> bool:
        """A section that does not concern the data set, and shows nothing else, is left out."""
        return not self.is_absent or any(part.kind in ("block", "html", "stream") for part in self.parts)


def render(notebook: NotebookNode, *, words: Words, page: str, title: str, company: str, nav: Nav) -> str:
    """Lay out an executed notebook as a report page."""
    sections, opening, closing = _sections(notebook)
    band = _BAND.search(opening)
    frame = _frame(words, title, company, nav)
    frame["band"] = Markup(band.group(1)) if band else ""
    frame["opening"] = Markup(_BAND.sub("", opening)) if opening else Markup(f"<h1>{text(page)}</h1>")
    frame["closing"] = Markup(closing)
    if sections[0].parts:  # what stands before the first question has a heading too, for who cannot see the page
        sections[0].question, sections[0].is_quiet = words.say("At a glance"), True
    frame["sections"] = [section for section in sections if section.question or section.parts]
    frame["contents"] = [section for section in sections if section.question and not section.is_quiet]
    return _exporter().from_notebook_node(notebook, resources={"page": frame})[0]


def render_archive(body: str, *, words: Words, title: str, company: str, nav: Nav, eyebrow: str, answer: str, band: str) -> str:
    """Lay out the page of all months, whose only section is given as markup."""
    frame = _frame(words, title, company, nav)
    frame["band"] = band
    frame["opening"] = Markup(paragraph(eyebrow, "eyebrow") + f"<h1>{text(answer)}</h1>")
    frame["closing"] = Markup(paragraph(words.say("Every month keeps its pages, numbers, lists and executed notebooks.")))
    frame["sections"], frame["contents"] = [Section(parts=[Part("block", body)])], []
    empty = NotebookNode(cells=[], metadata=NotebookNode(), nbformat=4, nbformat_minor=5)
    return _exporter().from_notebook_node(empty, resources={"page": frame})[0]


def _frame(words: Words, title: str, company: str, nav: Nav) -> dict[str, object]:
    return {
        "lang": words.lang,
        "title": title,
        "company": company,
        "nav": nav,
        "css": Markup(style() + style("frame")),
        "say": {
            "skip": words.say("Skip to content"),
            "nav": words.say("Report pages"),
            "contents": words.say("On this page"),
            "table": words.say("Table"),
        },
    }


def _sections(notebook: NotebookNode) -> tuple[list[Section], str, str]:
    """Sections in order (the first one has no question), opening block, closing block."""
    sections, opening, closing = [Section()], "", ""
    taken = {"main"}
    for cell in notebook.cells:
        tags = cell.get("metadata", {}).get("tags", [])
        if "notebook-only" in tags:
            continue
        if cell.cell_type == "markdown":
            _add_markdown(sections, _joined(cell.source), tags, taken)
        for part, name in map(_part, cell.get("outputs", [])):
            if name == "opening":
                opening = part.source
            elif name == "closing":
                closing = part.source
            elif name == "absent":
                sections[-1].is_absent = True
            elif part.source:
                sections[-1].parts.append(part)
    return [section for section in sections if section.is_shown], opening, closing


def _add_markdown(sections: list[Section], source: str, tags: Sequence[str], taken: set[str]) -> None:
    first, _, rest = source.strip().partition("\n")
    if first.startswith("## "):
        question = first[3:].strip()
        sections.append(Section(_identifier(question, taken), question, rest.strip(), "quiet" in tags))
    elif "definition" in tags:
        sections[-1].parts.append(Part("definition", rest.strip(), first.lstrip("# ").strip()))
    elif first.startswith("# "):  # the page has a heading of its own: the answer
        sections[-1].parts += [Part("markdown", rest.strip())] if rest.strip() else []
    elif first:
        sections[-1].parts.append(Part("markdown", source))


def _part(output: NotebookNode) -> tuple[Part, str]:
    """An output's content, and the name of its block if it is a special one."""
    if output.output_type == "stream":
        return Part("stream", _joined(output.text)), ""
    data = output.get("data", {})
    if "text/html" in data:
        html = _STYLE.sub("", _joined(data["text/html"]))
        block = _BLOCK.match(html)
        return Part("block" if block else "html", html), block.group(1) or "" if block else ""
    return Part("stream", _joined(data["text/plain"]) if set(data) == {"text/plain"} else ""), ""


def _joined(source: str | Sequence[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _identifier(question: str, taken: set[str]) -> str:
    """A name to link to, from the words of the question."""
    ascii_only = unicodedata.normalize("NFKD", question).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-") or "section"
    name = next(name for name in (base, *(f"{base}-{i}" for i in range(2, len(taken) + 3))) if name not in taken)
    taken.add(name)
    return name


@functools.cache
def _exporter() -> TemplateExporter:
    exporter = TemplateExporter(template_paths=[str(TEMPLATE)], template_file="index.html.j2", filters={"markdown": _markdown})
    exporter.file_extension, exporter.output_mimetype = ".html", "text/html"
    return exporter


def _markdown(source: str) -> Markup:
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    return Markup(MarkdownWithMath(renderer=renderer).render(source))
