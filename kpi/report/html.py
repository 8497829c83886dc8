"""From an executed notebook to a page that needs no network and no script, and from all months to the archive page."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from kpi.errors import ParameterError
from kpi.presentation.blocks.markup import link, paragraph, style, text
from kpi.presentation.blocks.sparkline import Spark, Svg
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

    @property
    def html(self) -> Markup:
        """Output of a cell as markup: blocks escape what they show, and the page lets no script run."""
        return Markup(self.source)


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


def render_archive(
    rows: Sequence[Mapping], *, words: Words, title: str, company: str, nav: Nav, answer: str = "", lede: str = "", band: str = ""
) -> str:
    """Lay out the page of all months."""
    frame = _frame(words, title, company, nav)
    frame["band"] = band
    months = f"{rows[-1]['label']} – {rows[0]['label']}" if len(rows) > 1 else rows[0]["label"] if rows else ""
    eyebrow = " · ".join(part for part in (words.say("All months"), months) if part)
    heading = f"<h1>{text(answer or _count_of_signals(rows, words))}</h1>"
    frame["opening"] = Markup(paragraph(eyebrow, "eyebrow") + heading + paragraph(lede, "lede"))
    frame["closing"] = Markup(paragraph(words.say("Every month keeps its pages, numbers, lists and executed notebooks.")))
    body = (
        Part("block", _archive_table(rows, words) + _states(words)) if rows else Part("block", paragraph(words.say("No month was made yet."), "none"))
    )
    frame["sections"], frame["contents"] = [Section(parts=[body])], []
    empty = NotebookNode(cells=[], metadata=NotebookNode(), nbformat=4, nbformat_minor=5)
    return _exporter().from_notebook_node(empty, resources={"page": frame})[0]


def _frame(words: Words, title: str, company: str, nav: Nav) -> dict:
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
    """What an output shows, and the name of its block if it is a special one."""
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


def _count_of_signals(rows: Sequence[Mapping], words: Words) -> str:
    made = [row for row in rows if row["state"] != "running"][:12]
    with_signal = [row for row in made if row["signals"]]
    months = words.say_n("{n} month", "{n} months", len(made))
    if not with_signal:
        return words.say("No signal in {months}.", months=months)
    count = sum(row["signals"] for row in with_signal)
    return words.say_n(
        "{n} signal in {months}; the latest: {month}.",
        "{n} signals in {months}; the latest: {month}.",
        count,
        months=months,
        month=words.month(with_signal[0]["month"]),
    )


def _archive_table(rows: Sequence[Mapping], words: Words) -> str:
    names = [label for label, _, _ in next((row["tiles"] for row in rows if row["tiles"]), [])]
    columns = "".join(f'<th scope="colgroup" colspan="2">{text(name)}</th>' for name in names)
    head = (
        f'<th scope="col">{text(words.say("Month"))}</th><th scope="col">{text(words.say("In a sentence"))}</th>{columns}'
        f'<th scope="col">{text(words.say("State"))}</th>'
    )
    how = words.say("Line: the months up to that one. Grey band: usual range. ◆signal. A month can be made again; it is then replaced as a whole.")
    caption = f"<caption><b>{text(words.say('Newest first'))}</b><span>{text(how)}</span></caption>"
    body = "".join(_archive_row(row, len(names), words) for row in rows)
    region = f'<div class="tw" role="region" tabindex="0" aria-label="{text(words.say("Table of months"))}">'
    return f'{region}<table class="arch">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _archive_row(row: Mapping, n_tiles: int, words: Words) -> str:
    label = link(row["label"], row["href"]) if row["href"] else text(row["label"])
    flag = ""
    if row["signals"]:
        flag = f'<span class="flag">{text("◆" + words.say_n("{n} signal.", "{n} signals.", row["signals"]))}</span> '
    tiles = [*row["tiles"], *[("", words.number(None), "")] * (n_tiles - len(row["tiles"]))]
    cells = "".join(f'<td class="r">{text(value)}</td><td class="sp">{_small(drawing)}</td>' for _, value, drawing in tiles)
    hollow = ' class="hol"' if row["state"] in ("running", "provisional") else ""
    return (
        f'<tr><th scope="row" class="nw">{label}</th><td class="sen{"" if row["signals"] else " few"}">{flag}{text(row["sentence"])}</td>{cells}'
        f'<td class="state"><span{hollow}>{text(row["state_label"])}</span></td></tr>'
    )


def _small(drawing: Spark | Svg | str) -> str:
    if isinstance(drawing, Spark):
        return drawing.svg(width=96, height=22, dots=False)
    if drawing and not isinstance(drawing, Svg):
        raise ParameterError("the archive takes a Spark or what its svg() returned, not markup of other origin")
    return drawing


def _states(words: Words) -> str:
    states = [
        (words.say("complete"), words.say("Made after the month ended, from data that passed the checks.")),
        (words.say("provisional"), words.say("Too few months of history for its limits, or late records still expected; drawn hollow.")),
        (words.say("replaced"), words.say("Made again from later data; the date tells when.")),
        (words.say("running"), words.say("Not over; nothing is published.")),
    ]
    terms = "".join(f"<dt>{text(name)}</dt><dd>{text(meaning)}</dd>" for name, meaning in states)
    return f"<details><summary>{text(words.say('States of a month'))}</summary><dl>{terms}</dl></details>"
