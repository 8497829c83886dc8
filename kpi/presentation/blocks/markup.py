"""From text to markup: the only door through which a value reaches a page."""

from __future__ import annotations

import functools
import html
import numbers
import re
from pathlib import Path
from urllib.parse import urlsplit

from kpi.errors import ParameterError

HERE = Path(__file__).parent
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_DIAMONDS = {"◆": '<i class="d sg"></i>', "◇": '<i class="d o"></i>'}  # drawn by CSS: many fonts lack these glyphs


class Block:
    """Something to show, the same in JupyterLab and on a page.

    A block is the last expression of a cell, or is handed to `display`.
    """

    name = ""

    def html(self) -> str:
        """Markup of the block, without its style sheet."""
        raise NotImplementedError

    def plain(self) -> str:
        """What the block says where no HTML can be shown."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        label = f' data-block="{self.name}"' if self.name else ""
        return f'<style class="kpi-style">{style()}</style><div class="kpi"{label}>{self.html()}</div>'

    def __repr__(self) -> str:
        return self.plain()


def text(value: str | float) -> str:
    """Make a text or a number safe for a page."""
    safe = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", attribute(value))
    return re.sub("([◆◇]) ?", lambda mark: _DIAMONDS[mark[1]], safe)  # the mark brings its own space


def attribute(value: str | float) -> str:
    """Make a text or a number safe between the quotes of an attribute."""
    if not isinstance(value, str | numbers.Number) or isinstance(value, bool):
        raise ParameterError(f"a page shows text and numbers, not {type(value).__name__}; say it first by the methods of Words")
    return html.escape(printable(str.__str__(value) if isinstance(value, str) else str(value)))


def printable(value: str) -> str:
    """Replace what no page can carry: control characters and halves of characters."""
    return _UNPRINTABLE.sub("\ufffd", value)


def paragraph(value: str, css: str = "") -> str:
    """Set a text as a paragraph."""
    return f"<p{classed(css)}>{text(value)}</p>" if value else ""


def classed(css: str) -> str:
    """The attribute that gives an element its style."""
    return f' class="{css}"' if css else ""


def link(label: str, href: str) -> str:
    """Set a link, if it leads where a report may lead."""
    return f'<a href="{attribute(href)}">{text(label)}</a>' if is_safe_address(href) else text(label)


def is_safe_address(href: str) -> bool:
    """Say whether a link may lead there: http(s), or a place relative to the page."""
    if not href or re.search(r"[\x00-\x20\x7f\\]", href) or href.startswith("//"):
        return False
    try:
        parts = urlsplit(href)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") or not (parts.scheme or parts.netloc)


@functools.cache
def style(name: str = "style") -> str:
    """Read a style sheet, without its comments and line ends."""
    sheet = re.sub(r"/\*.*?\*/", "", (HERE / f"{name}.css").read_text("utf-8"), flags=re.DOTALL)
    return "".join(line.strip() for line in sheet.splitlines())
