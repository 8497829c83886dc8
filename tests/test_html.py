"""The report page and the page of all months: no script, no request, one answer at the top, the same bytes twice."""

import json
import re
import subprocess
import tempfile
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_blocks import HOSTILE, Seen, picture, spark

from kpi.presentation import blocks
from kpi.presentation.blocks.tables import DisplayColumn, TableWriter
from kpi.presentation.language import Words
from kpi.report.archive import page
from kpi.report.html import render

EN, FR = Words("en"), Words("fr")
NAV = [("Pulse", "index.html", True), ("Pipeline", "pipeline.html", False), ("Retention", "", False), ("All months", "../index.html", False)]
TILES = ["Leads", "Answered", "Opportunities", "Proposals", "Won", "Average", "Value", "Kept"]
VOID = {"meta", "img", "br", "link", "hr", "path", "circle", "polygon"}


def markdown(source, *tags):
    return new_markdown_cell(source, metadata={"tags": list(tags)})


def shown(*blocks):
    return new_code_cell("secret = 1", outputs=[new_output("display_data", {"text/html": b._repr_html_(), "text/plain": repr(b)}) for b in blocks])


def sources(name="Partner"):
    rows = pd.DataFrame({"source": [name, "Event"], "n": [173, 7], "value": [0.34, 0.2], "low": [0.26, 0.0], "high": [0.42, 0.9]})
    columns = [
        *(DisplayColumn("source", "Source"), DisplayColumn("n", "Created", "number"), DisplayColumn("value", "Won by 180 d", "percent", n="n")),
        *(DisplayColumn("value", "95% interval", "range", n="n"), DisplayColumn("value", "", "drawn", n="n")),
    ]
    wide = [DisplayColumn("n", f"Number {i} of something long", "number") for i in range(6)]
    return TableWriter(EN, "EUR", "UTC").table(rows, [*columns, *wide], title="Which sources?", note="scope")


@cache
def notebook(s="Partner"):
    tiles = blocks.Tiles([blocks.Tile(name, "415", "Sep 401", "Usual 340–476", spark()) for name in TILES], "Key figures", "How to read it.")
    raw = new_output("execute_result", {"text/html": pd.DataFrame([[s] * 30])._repr_html_(), "text/plain": "x"}, execution_count=1)
    return new_notebook(
        cells=[
            markdown("# Pulse", "notebook-only"),
            new_code_cell("month = ''", metadata={"tags": ["parameters"]}),
            shown(blocks.Opening("October 2026", f"{s} won €327k", "Usual: more.", f"Simulated {s}")),
            markdown("## Where do we stand?", "quiet"),
            shown(tiles),
            markdown("## Are we winning less?\n\nHow *fast*, too."),
            shown(blocks.Answer(f"{s}: 25% (22–27%)"), blocks.SideBySide(picture(s), [picture("other"), blocks.Note("Not proof.", "Association.")])),
            markdown("### What counts?\n\nAll opportunities.\n\n- open ones too", "definition"),
            markdown("## Où gagne-t-on ?"),
            shown(sources(s), blocks.NoData("No data.")),
            markdown("## Are we winning less?"),
            shown(blocks.Prose(f"# {s}\n\ntext", "Note")),
            new_code_cell("x", outputs=[new_output("stream", text=f"printed {s}"), raw]),
            new_code_cell("x", outputs=[new_output("display_data", {"image/png": "AAAA", "text/plain": "<Figure>"})]),
            shown(blocks.Closing(["Rows read: 10 = 9 used + 1 set aside."], [("metrics.json", "metrics.json")])),
        ]
    )


def made(s="Partner", words=EN, **changed):
    return render(notebook(s), **{"words": words, "page": "Pulse", "title": f"{s} · Pulse", "company": s, "nav": NAV, **changed})


def content(name, s="Ateliers", **changed):
    """What a month's manifest says."""
    tile = {"kpi": "pipeline.won_value", "kind": "money", "name": "Won value", "provisional": False, "month": [name] * 3}
    tile |= {"value": [1.0, None, 327_000.0], "lower": [2.0] * 3, "centre": [3.0] * 3, "upper": [4.0] * 3, "signal": [False, False, True]}
    summary = {"sentence": "Routine.", "band": "", "signals": 0, "tiles": [tile, tile | {"kind": "rate", "name": s}]} | changed.pop("summary", {})
    pages = [{"name": "pulse", "label": "Pulse", "file": "index.html"}]
    return {"company": s, "currency": "EUR", "pages": pages, "data_end": "2026-11-03", "summary": summary} | changed


def archive(s="Ateliers", words=EN, **months):
    """The page of all months; by default two of them."""
    tile = content("2026-09")["summary"]["tiles"][0]
    usual = {"2026-10": content("2026-10", s, summary={"signals": 2, "sentence": s, "band": s})}
    usual["2026-09"] = content("2026-09", s, summary={"tiles": [tile | {"provisional": True, "name": s}]})
    with tempfile.TemporaryDirectory() as folder:
        for name, made in (months or usual).items():
            (Path(folder) / name).mkdir()
            (Path(folder) / name / "manifest.json").write_text(json.dumps(made), "utf-8")
        return page(Path(folder), words)


@pytest.mark.parametrize("html", [made(), made(words=FR), archive(), archive(words=FR)], ids=["page", "page fr", "archive", "archive fr"])
def test_a_page_is_complete_and_asks_for_nothing(html):
    seen = Seen(html)
    assert html.startswith("<!doctype html>")
    assert ("html", "lang", "fr" if 'lang="fr"' in html else "en") in seen.attributes
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(seen.tags)
    assert "url(" not in html
    assert "@import" not in html
    for tag, name, value in seen.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/png;base64,") if tag == "img" else not re.match(r"(https?:)?//", value)
        if tag == "img" and name == "alt":
            assert value.strip()
    assert seen.tags.count("img") == sum(1 for tag, name, _ in seen.attributes if tag == "img" and name == "alt")
    assert seen.tags.count("h1") == 1
    levels = [int(tag[1]) for tag in seen.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
    for tag, number in ((tag, seen.tags.count(tag)) for tag in set(seen.tags) - VOID):
        assert html.count(f"</{tag}>") == number, tag
    ids = [value for _, name, value in seen.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for _, name, value in seen.attributes if name == "href" and value.startswith("#")} <= set(ids)
    assert seen.tags.count("style") == 1 + html.count("<style scoped>")  # the blocks' own copies are not repeated


@pytest.mark.parametrize("make", [made, archive])
@pytest.mark.parametrize("s", HOSTILE[:-1])
def test_no_text_becomes_markup_on_a_page(make, s):
    plain, hostile = Seen(make()), Seen(make(s))
    added = set(hostile.tags) - set(plain.tags)
    assert not added - {"h3", "p", "code", "em", "strong"}
    assert not {"script", "iframe"} & set(hostile.tags)
    assert not [name for _, name, _ in hostile.attributes if name.startswith("on")]
    assert len(hostile.comments) == len(plain.comments)


def test_the_page_holds_what_the_notebook_shows_in_its_order():
    html = made()
    words = ["Simulated Partner", "All months", "October 2026", "Partner won", "On this page", "Key figures", "How <em>fast</em>", "22–27%"]
    words += ["What counts?", "Which sources?", "Rows read"]
    places = [html.index(word) for word in words]
    assert places == sorted(places)
    assert "secret" not in html  # code is never shown
    assert "Pulse</h1>" not in html
    assert "&lt;Figure&gt;" not in html
    assert html.count("Simulated Partner") == 1
    assert 'aria-current="page">Pulse</a>' in html
    assert "<span>Retention</span>" in html
    assert html.index(blocks.END) > html.index("<footer>")


def test_sections_have_names_to_link_to():
    html = made()
    assert re.findall(r'<section id="([^"]*)"', html) == ["where-do-we-stand", "are-we-winning-less", "ou-gagne-t-on", "are-we-winning-less-2"]
    contents = html[html.index('class="toc"') : html.index("</ol>")]
    assert contents.count("<li>") == 1 + 3  # the quiet section is not listed
    assert '<h2 class="vh">Where do we stand?</h2>' in html


def test_a_short_page_has_no_contents_list():
    cells = notebook().cells
    html = render(new_notebook(cells=cells[:7]), words=EN, page="Pulse", title="x", company="x", nav=[])
    assert 'class="toc"' not in html
    assert render(new_notebook(), words=EN, page="<Pulse>", title="x", company="x", nav=[]).count("<h1>&lt;Pulse&gt;</h1>") == 1


def test_what_stands_before_the_first_question_has_a_heading_too():
    cells = [cell for cell in notebook().cells if not cell.source.startswith("## Where")]
    html = render(new_notebook(cells=cells), words=FR, page="Pulse", title="x", company="x", nav=[])
    assert '<h2 class="vh">En un coup d’œil</h2>' in html
    assert html.index("<h2") < html.index("<h3")


def test_a_page_is_light_and_the_same_twice():
    assert made() == made()
    assert archive() == archive()
    assert len(made().encode()) < 120_000
    assert len(archive().encode()) < 25_000


def test_the_page_of_all_months():
    html = archive()
    assert "<h1>2 signals in 2 months; the latest: October 2026.</h1>" in html
    assert "All months · September 2026 – November 2026" in html
    assert '<a href="2026-10/index.html">October 2026</a>' in html
    assert '<span class="flag"><i class="d sg"></i>2 signals.</span>' in html
    assert html.count('<span class="hol">') == 2
    assert html.count('scope="row"') == 3
    assert html.count("<th ") == html.count("<th scope=")
    assert "<h1>No signal in 1 month.</h1>" in archive(**{"2026-10": content("2026-10")})


def test_a_section_that_does_not_concern_the_data_is_left_out():
    cells = [
        *(
            markdown("## Of orders?"),
            shown(blocks.Absent("No data: the data set has no table `orders`.")),
            markdown("### What counts?\n\nOrders.", "definition"),
        ),
        *(markdown("## Of both?"), shown(blocks.Answer("Yes.")), shown(blocks.Absent("No data: the data set has no table `orders`."))),
    ]
    html = render(new_notebook(cells=cells), words=EN, page="Retention", title="x", company="x", nav=[])
    assert "Of orders?" not in html
    assert "Orders." not in html
    assert "No data" not in html
    assert html.count("Of both?") == 1
    assert "Yes." in html
    assert "No data" in blocks.Absent("No data.").plain()


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_no_page_scrolls_sideways(chromium, tmp_path, width):
    frames = "".join(f'<iframe width="{width}" height="800" style="border:0" srcdoc="{escape(html)}"></iframe>' for html in (made(), archive()))
    excess = "[...document.querySelectorAll('iframe')].map(f=>f.contentDocument.documentElement).map(e=>e.scrollWidth-e.clientWidth)"
    probe = f"onload=()=>{{document.title={excess}.join()}}"
    (tmp_path / "frames.html").write_text(f"<!doctype html><title>none</title>{frames}<script>{probe}</script>", "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [chromium, *options, "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "frames.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.search(r"<title>(.*?)</title>", dom).group(1) == "0,0"
