"""Display blocks, tables and pictures: whatever the data hold, nothing of it becomes markup, and equal input gives equal bytes."""

import math
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.errors import ParameterError, SchemaError
from kpi.periods import Month
from kpi.presentation import blocks, pages
from kpi.presentation.blocks.markup import is_safe_address, style
from kpi.presentation.blocks.sparkline import interval, interval_axis
from kpi.presentation.blocks.tables import DisplayColumn, TableWriter
from kpi.presentation.charts import style as looks
from kpi.presentation.language import Words, placeholders
from kpi.presentation.pages.about import TABLES, About
from kpi.schema import BLANK

EN, FR = Words("en"), Words("fr")
ENGLISH, FRENCH = TableWriter(EN, "EUR", "UTC"), TableWriter(FR, "EUR", "UTC")
TAGS = (
    "a b br caption circle code dd details div dl dt em figcaption figure h1 h3 h4 i img li ol p path polygon section small span strong style summary"
    " svg table tbody td text th thead tr ul pre blockquote hr"
)
ALLOWED = set(TAGS.split())
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</style></title></table><iframe src=//evil>",
    "javascript:alert(1)",
    "<!-- kpi:end -->",
    "]]>&lt;b&gt;",
    "{{7*7}}{% raw %}",
    "\x00\ud800\u2028",
]


class Seen(HTMLParser):
    """Elements, attributes and text of a piece of HTML."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.comments, self.words = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.words.append(data)

    def handle_comment(self, data):
        self.comments.append(data)


def spark(alt="24 months", values=(1.0, 2.0, 3.0), signals=(False, False, True)):
    return blocks.Sparkline(values, [0.0] * 3, [1.5] * 3, [2.5] * 3, signals, alt)


def picture(title="T", note="N", alt="A", foot="F"):
    ax = looks.axes(2.4)
    ax.plot([1, 2])
    return blocks.Figure(ax, title, note, alt, foot)


def every_block(s):
    """Every block with `s` wherever it takes a text."""
    frame = pd.DataFrame({"name": pd.Series([s], dtype=object), "n": [30], "value": [0.5], "low": [0.4], "high": [0.6]})
    columns = [DisplayColumn("name", s), DisplayColumn("value", s, "percent", n="n"), DisplayColumn("value", s, "drawn")]
    tile = blocks.Tile(s, s, s, s, spark(s + "."), signal=s)
    return [
        blocks.Opening(s, s, s, s),
        blocks.Answer(s),
        blocks.SideBySide(blocks.Note(s, s), [blocks.NoData(s), blocks.Answer(s)]),
        blocks.Tiles([tile, blocks.Tile(s, s, s, s)], s, s),
        blocks.NoData(s),
        blocks.Note(s, s),
        blocks.Prose(s, s),
        blocks.Closing([s], [(s, s)]),
        ENGLISH.table(frame, columns, title=s, note=s, whole=s, total=frame),
    ]


def assert_harmless(html):
    html.encode()  # no lone surrogate is left
    seen = Seen(html)
    assert set(seen.tags) <= ALLOWED
    for tag, name, value in seen.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name in {"class", "alt", "aria-label", "aria-hidden", "role", "tabindex", "scope", "colspan", "start"} or (tag, name) in {
            *(("div", "data-block"), ("a", "href"), ("img", "src"), ("img", "width"), ("img", "height"), ("svg", "viewbox")),
            *(
                (shape, place)
                for shape in ("path", "polygon", "circle", "text")
                for place in ("d", "points", "cx", "cy", "r", "x", "y", "text-anchor")
            ),
        }, (tag, name)
        if name == "href":
            assert is_safe_address(value)


@pytest.mark.parametrize("s", HOSTILE)
def test_no_text_becomes_markup(s):
    for block in every_block(s):
        html = block._repr_html_()
        assert_harmless(html)
        assert len(Seen(html).comments) == (block.name == "closing")
    figure = picture(s, s, s, s).html()
    assert_harmless(figure)
    assert Seen(figure).tags == ["figure", "figcaption", "b", "span", "img", "p"]


@given(st.text(min_size=1, max_size=40))
@settings(max_examples=60)
def test_no_text_at_all_becomes_markup(s):
    for block in every_block(s):
        assert_harmless(block.html())


@given(st.text(st.characters(exclude_characters="`◆◇", exclude_categories=["C"]), min_size=1, max_size=40))
def test_a_text_arrives_as_it_was(s):
    assert "".join(Seen(blocks.Answer(s).html()).words) == s


@given(st.text(max_size=60))
@settings(max_examples=150)
def test_prose_from_outside_stays_prose(s):
    assert_harmless(blocks.Prose(s).html())


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# One\n## Two", "<h3>One</h3><h4>Two</h4>"),
        ("[x](https://a.example/b?c=1&d=2)", '<a href="https://a.example/b?c=1&amp;d=2">x</a>'),
        ("[x](lists/a.csv)", '<a href="lists/a.csv">x</a>'),
        ("[x](javascript:alert(1))", "<p>x</p>"),
        ("<javascript:alert(1)>", "javascript"),
        ("![x](https://a.example/b.png)", "<p>x</p>"),
        ("<b>x</b>", "&lt;b&gt;"),
    ],
)
def test_prose(markdown, expected):
    html = blocks.Prose(markdown).html()
    assert expected in html
    assert_harmless(html)


@pytest.mark.parametrize("href", ["lists/a.csv", "#part", "../index.html", "https://a.example/", "a?b=c#d", "2026-10/index.html"])
def test_links_lead_to_the_report_or_the_web(href):
    assert is_safe_address(href)


@pytest.mark.parametrize(
    "href",
    ["javascript:x", " javascript:x", "java\nscript:x", "data:text/html,x", "//host/x", "\\\\host\\x", "file:///etc", "http://[", "", "vbscript:x"],
)
def test_links_lead_nowhere_else(href):
    assert not is_safe_address(href)


@pytest.mark.parametrize("value", [None, True, b"x", ["x"], object()])
def test_only_text_and_numbers_are_shown(value):
    with pytest.raises(ParameterError, match="text and numbers"):
        blocks.markup.text(value)


def test_marks_in_a_text():
    assert blocks.markup.text("◆ stale, ◇out, `leads`") == '<i class="d sg"></i>stale, <i class="d o"></i>out, <code>leads</code>'


def test_blocks_say_in_plain_text_what_they_show():
    for block in [*every_block("xyz"), picture("xyz")]:
        assert "xyz" in repr(block)
        assert "<" not in repr(block)


def test_the_closing_block_carries_the_mark():
    assert blocks.Closing(["x"])._repr_html_().endswith(blocks.END + "</div>")


def test_style_is_scoped_and_asks_for_nothing():
    sheet = style()
    assert "<" not in sheet
    assert "url(" not in sheet + style("frame")
    assert "@import" not in sheet + style("frame")
    rules = sheet.replace("@media screen{", "}").replace("@media print{", "}").split("}")
    for selector in (rule.split("{")[-2] for rule in rules if rule.count("{")):
        assert ".kpi" in selector or selector.startswith("@"), selector
    assert len(sheet) < 9000


# ---- pictures ----


def test_a_picture_is_small_closed_and_always_the_same():
    before = dict(mpl.rcParams)
    first, second = (picture() for _ in range(2))
    assert first.html() == second.html()
    assert (first.width, first.height) == (540, 240)
    assert len(first.html()) < 25_000
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_a_picture_has_a_white_ground_that_can_vanish():
    from io import BytesIO

    from PIL import Image

    data, width, height = looks.png(looks.axes(2.4))
    with Image.open(BytesIO(data)) as image:
        assert image.mode == "P"
        assert image.size == (2 * width, 2 * height)
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
        assert "Software" not in image.info


def test_a_picture_needs_words_for_who_cannot_see_it():
    with pytest.raises(ParameterError, match="alternative text"):
        picture(alt=" ")
    plt.close("all")
    with pytest.raises(ParameterError, match="alternative text"):
        spark(alt="")


def test_the_looks_hold_only_inside():
    before = mpl.rcParams["font.size"]
    with looks.context():
        assert mpl.rcParams["font.size"] == 8.2
        assert mpl.rcParams["text.parse_math"] is False
    assert mpl.rcParams["font.size"] == before


def test_ticks_speak_the_language():
    assert looks.ticks(FR.percent)(0.3, None) == "30\u202f%"


# ---- small drawings ----


def test_months_over_their_limits():
    svg = spark().svg()
    assert svg.count('class="s"') == 1  # the last month is a signal, so no dot stands there
    assert 'class="now"' not in svg
    assert 'class="h"' in blocks.Sparkline([1.0, 2.0], [0, 0], [1, 1], [2, 2], [False, False], "x", True).svg()
    assert svg.count('class="p"') == 2


def test_months_with_gaps_and_limits_of_their_own():
    drawn = blocks.Sparkline([1.0, math.nan, 3.0, 4.0], [math.nan, 0, 0, 0], [math.nan, 1, 1, 1], [math.nan, 4, 5, 4], [False] * 4, "x").svg()
    assert "nan" not in drawn
    assert drawn.count("M") >= 2  # the line is broken where a month is missing
    for flat in (blocks.Sparkline([2.0], [2], [2], [2], [False], "x"), blocks.Sparkline([math.nan], [math.nan], [math.nan], [None], [False], "x")):
        assert "nan" not in flat.svg()


def test_months_must_fit_together():
    with pytest.raises(ParameterError, match="signals"):
        blocks.Sparkline([1.0, 2.0], [0, 0], [1, 1], [2, 2], [False], "x")
    with pytest.raises(ParameterError, match="limits"):
        blocks.Sparkline([1.0, 2.0], [0.0], [1, 1], [2, 2], [False, False], "x").svg()


def test_an_interval_is_drawn_inside_its_axis():
    assert 'cx="88.0"' in interval(0.5, 0.4, 2.0, axis=(0, 1), reference=0.5)
    assert "H172" in interval(0.5, 0.4, 2.0, axis=(0, 1))  # cut at the end of the axis
    assert "circle" not in interval(math.nan, 0.4, 0.6, axis=(0, 1))
    assert interval_axis([(0, "<0>"), (1, "1")], axis=(0, 1)).count("&lt;0&gt;") == 1
    with pytest.raises(ParameterError, match="axis"):
        interval(1, 1, 1, axis=(1, 1))


# ---- tables ----

SOURCES = pd.DataFrame(
    {"source": ["Partner", "Event"], "n": [173, 7], "value": [0.34, 0.2], "low": [0.26, 0.0], "high": [0.42, 0.9], "amount": [744e3, math.nan]}
)
COLUMNS = [
    DisplayColumn("source", "Source"),
    DisplayColumn("n", "Created", "number"),
    DisplayColumn("value", "Won by\n180 d", "percent", n="n"),
    DisplayColumn("value", "95%", "range", n="n"),
    DisplayColumn("value", "", "drawn", n="n"),
    DisplayColumn("amount", "Won value", "money"),
]
TOTAL = pd.DataFrame({"source": ["All"], "n": [180], "value": [0.33], "low": [0.26], "high": [0.4], "amount": [744e3]})


def cells(block):
    return [[cell.text for cell in row] for _, row in block.rows]


def test_a_table_of_estimates():
    made = ENGLISH.table(SOURCES, COLUMNS, title="Which?", note="scope", total=TOTAL)
    assert cells(made) == [
        ["Partner", "173", "34%", "26–42%", "", "€744k"],
        ["Event", "7", "too few (floor 20)", "", "–"],  # counts stay, no rate, no interval, no dot
        ["All", "180", "33%", "26–40%", "", "€744k"],
    ]
    assert [css for css, _ in made.rows] == ["", "", "tot"]
    few = made.rows[1][1]
    assert few[2].span == 2
    assert "circle" not in few[3].drawing
    assert made.head[4].drawing.count("<text") == 3  # ends and reference; the axis ends at 50% though too few reached 90%
    assert "50%" in made.head[4].drawing
    html = made.html()
    assert html.count('scope="col"') == 6
    assert html.count('scope="row"') == 3
    assert 'role="region" tabindex="0" aria-label="Which?"' in html
    assert "Won by<br>180 d" in html


def test_a_table_speaks_french():
    made = FRENCH.table(SOURCES, COLUMNS, title="x")
    assert cells(made)[0] == ["Partner", "173", "34\u202f%", "26–42\u202f%", "", "744\u00a0k€"]


def test_a_table_writes_the_name_of_the_empty_cells():
    made = FRENCH.table(pd.DataFrame({"source": ["web", BLANK]}), [DisplayColumn("source", "Source")], title="x")
    assert cells(made) == [["web"], ["(vide)"]]


def test_a_long_table_says_where_the_rest_is():
    long = pd.DataFrame({"deal": [f"D-{i}" for i in range(33)], "at": pd.Timestamp("2026-10-12 07:03"), "days": range(33)})
    columns = [DisplayColumn("deal", "Deal"), DisplayColumn("at", "Since", "when"), DisplayColumn("days", "Days", "days")]
    made = TableWriter(EN, "EUR", "Europe/Paris").table(long, columns, title="x", note="Largest first", whole="lists/stale.csv")
    assert len(made.rows) == 10
    assert made.note == "Largest first · 10 of 33; all in lists/stale.csv"
    assert cells(made)[1] == ["D-1", "Mon\u00a012\u00a0Oct, 09:03", "1\u00a0day"]
    assert ENGLISH.table(long, columns, title="x", limit=40).note == ""


def test_an_empty_table_says_so_and_nothing_is_altered():
    before = SOURCES.copy()
    made = ENGLISH.table(SOURCES.head(0), COLUMNS, title="x")
    assert cells(made) == [["Nothing to list."]]
    assert made.rows[0][1][0].span == 6
    ENGLISH.table(SOURCES, COLUMNS, title="x")
    pd.testing.assert_frame_equal(SOURCES, before)


def test_a_table_with_negative_intervals():
    gains = pd.DataFrame({"lever": ["a", "b"], "value": [31.0, 17.0], "low": [8.0, -6.0], "high": [55.0, 41.0]})
    columns = [
        DisplayColumn("lever", "Lever"),
        DisplayColumn("value", "Gain", "range", unit="number"),
        DisplayColumn("value", "", "drawn", unit="number", reference=0.0),
    ]
    made = ENGLISH.table(gains, columns, title="x")
    assert cells(made)[1][1] == "\u22126 to +41"
    assert "\u22126" in made.head[2].drawing


def test_tables_refuse_what_they_cannot_lay_out():
    with pytest.raises(SchemaError, match=r"needs .*amount"):
        ENGLISH.table(SOURCES.drop(columns="amount"), COLUMNS, title="x")
    with pytest.raises(ParameterError, match="kind"):
        DisplayColumn("x", "X", "percentage")
    with pytest.raises(ParameterError, match="one"):
        ENGLISH.table(SOURCES, COLUMNS, title="x", total=SOURCES)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_the_pages_is_shown_by_one_and_can_be_laid_out(name):
    told, folder = TABLES[name], Path(pages.__file__).parent
    assert sum(path.read_text("utf-8").count(f'named_table("{name}"') for path in folder.glob("*.py")) == 1
    about = About(FRENCH.words, "EUR", "Europe/Paris", Month(2026, 10), pd.Timestamp("2026-11-01"), "", False, [])
    parts = {place: "7" for text in (told["title"], told.get("note", ""), *(one["label"] for one in told["columns"])) for place in placeholders(text)}
    names = {one.get(key, "value") for one in told["columns"] for key in ("name", "n")} | {"low", "high", "n", "n_events"}
    made = about.named_table(name, pd.DataFrame(columns=sorted(names)), more="and more", **parts)
    assert made.note.endswith("and more")
    assert sum(cell.css == "iv" for cell in made.head) == sum(one.get("drawn", one.get("kind") == "drawn") for one in told["columns"])
