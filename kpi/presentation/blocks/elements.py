"""What a report page is made of: each block is a plain value that shows itself, alike in JupyterLab and on the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kpi.errors import ParameterError
from kpi.presentation.blocks.markup import Block, attribute, is_safe_address, link, paragraph, printable, text
from kpi.presentation.blocks.sparkline import Sparkline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE = 600  # CSS pixels from which a figure takes the whole width of the page
END = "<!-- kpi:end -->"  # a page without it was not finished


@dataclass(repr=False)
class Opening(Block):
    """How a page begins: the answer in one sentence, with the number that matters."""

    eyebrow: str
    answer: str
    lede: str
    band: str = ""

    name = "opening"

    def html(self) -> str:
        heading = f"<h1>{text(self.answer)}</h1>"
        return paragraph(self.band, "band") + paragraph(self.eyebrow, "eyebrow") + heading + paragraph(self.lede, "lede")

    def plain(self) -> str:
        return "\n".join(part for part in (self.band, self.eyebrow, self.answer, self.lede) if part)


@dataclass(repr=False)
class Sentence(Block):
    """One sentence that stands for itself."""

    sentence: str

    css = ""

    def html(self) -> str:
        return paragraph(self.sentence, self.css)

    def plain(self) -> str:
        return self.sentence


class Answer(Sentence):
    """One sentence that answers a section's question, with its interval."""

    css = "ans"


class NoData(Sentence):
    """The box that stands where a section has nothing to show."""

    css = "none"


class Absent(NoData):
    """What stands in a notebook where a section does not concern the data set; a page goes without it."""

    name = "absent"


class Figure(Block):
    """A drawn plot with its finding, its caption and its alternative text; the plot is closed afterwards."""

    def __init__(self, axes: Axes, title: str, note: str, alt: str, foot: str = "") -> None:
        if not alt.strip():
            raise ParameterError(f"the figure {title!r} needs an alternative text")
        from kpi.presentation.charts.style import png  # matplotlib only where something is drawn

        self.title, self.note, self.alt, self.foot = title, note, alt, foot
        data, self.width, self.height = png(axes)
        self._image = base64.b64encode(data).decode()

    def html(self) -> str:
        caption = f"<figcaption><b>{text(self.title)}</b>{f'<span>{text(self.note)}</span>' if self.note else ''}</figcaption>"
        image = f'<img width="{self.width}" height="{self.height}" alt="{attribute(self.alt)}" src="data:image/png;base64,{self._image}">'
        css = ' class="wide"' if self.width > WIDE else ""
        if css:  # two columns wide: scrolls on a phone rather than shrinking beyond reading
            image = f'<div class="tw" role="region" tabindex="0" aria-label="{attribute(self.title)}">{image}</div>'
        return f"<figure{css}>{caption}{image}{paragraph(self.foot, 'foot')}</figure>"

    def plain(self) -> str:
        return f"{self.title}\n{self.alt}"


class SideBySide(Block):
    """Two blocks beside each other where there is room, one below the other on a phone."""

    def __init__(self, left: Block | Sequence[Block], right: Block | Sequence[Block]) -> None:
        self.sides = tuple((side,) if isinstance(side, Block) else tuple(side) for side in (left, right))

    def html(self) -> str:
        return '<div class="g2">' + "".join(f"<div>{''.join(block.html() for block in side)}</div>" for side in self.sides) + "</div>"

    def plain(self) -> str:
        return "\n\n".join(block.plain() for side in self.sides for block in side)


@dataclass(frozen=True, repr=False)
class Tile:
    """One key figure with its months."""

    title: str
    value: str
    of: str = ""
    usual: str = ""
    spark: Sparkline | None = None
    signal: str = ""

    def html(self) -> str:
        of = f'<span class="n">{text(self.of)}</span>' if self.of else ""
        below = f'<p class="flag">{text("◆" + self.signal)}</p>' if self.signal else paragraph(self.usual)
        css = ' class="sig"' if self.signal else ""
        return (
            f"<li{css}><h3>{text(self.title)}</h3>"
            f'<div><span class="v">{text(self.value)}</span> {of}</div>{self.spark.svg() if self.spark else ""}{below}</li>'
        )


@dataclass(repr=False)
class Tiles(Block):
    """The chain of key figures, in causal order."""

    tiles: Sequence[Tile]
    label: str
    note: str = ""

    def html(self) -> str:
        items = "".join(tile.html() for tile in self.tiles)
        return f'<div class="fit"><ul class="tiles" aria-label="{attribute(self.label)}">{items}</ul></div>{paragraph(self.note, "foot wide")}'

    def plain(self) -> str:
        return "\n".join(f"{tile.title}: {tile.value} ({tile.signal or tile.usual})" for tile in self.tiles)


@dataclass(repr=False)
class Note(Block):
    """A caveat, to stand right under what it is about."""

    body: str
    title: str = ""

    def html(self) -> str:
        return f'<p class="note">{f"<b>{text(self.title)}</b> " if self.title else ""}{text(self.body)}</p>'

    def plain(self) -> str:
        return f"{self.title} {self.body}".strip()


@dataclass(repr=False)
class Prose(Block):
    """What the analyst wrote about the month, in Markdown."""

    markdown: str
    title: str = ""

    def html(self) -> str:
        import mistune

        class Renderer(mistune.HTMLRenderer):
            def link(self, text: str, url: str, title: str | None = None) -> str:
                return f'<a href="{attribute(url)}">{text}</a>' if is_safe_address(url) else text

            def image(self, text: str, url: str, title: str | None = None) -> str:
                return text

            def heading(self, text: str, level: int, **attrs: Any) -> str:
                return f"<h3>{text}</h3>" if level == 1 else f"<h4>{text}</h4>"  # the page's own headings stand above

        head = f'<p class="head"><b>{text(self.title)}</b></p>' if self.title else ""
        return f'<div class="prose">{head}{mistune.create_markdown(renderer=Renderer(escape=True))(printable(self.markdown))}</div>'

    def plain(self) -> str:
        return f"{self.title}\n{self.markdown}".strip()


@dataclass(repr=False)
class Closing(Block):
    """How a page ends: the rows it rests on, and where to find more. Its mark tells that the notebook ran through."""

    sentences: Sequence[str]
    links: Sequence[tuple[str, str]] = ()

    name = "closing"

    def html(self) -> str:
        links = " · ".join(link(label, href) for label, href in self.links)
        rows = "".join(paragraph(sentence) for sentence in self.sentences)
        return f'<div class="end">{rows}{f"<p>{links}</p>" if links else ""}</div>{END}'

    def plain(self) -> str:
        return "\n".join(self.sentences)
