"""A sentence keeps the floor that the table keeps: of under 20 records counts, no rate."""

from __future__ import annotations

import json
import re
from pathlib import Path

import IPython.display
import matplotlib.pyplot as plt
import numpy as np
import pytest
from companies import dataset, random_company, table, utc

import kpi
from kpi.presentation.blocks import Answer, Figure, NoData, Note, Opening, SideBySide, Tiles

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FIXED = re.compile(r"95% (of repeat|interval)|90% (of past|interval)|80% interval")


def sentences(data: kpi.Dataset, month: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the pages say of a data set outside their tables."""
    shown: list = []
    monkeypatch.setattr(IPython.display, "display", lambda *blocks, **_: shown.extend(blocks))
    monkeypatch.setattr(kpi, "load", lambda *_, **__: data)
    monkeypatch.setattr("kpi.presentation.charts.style.png", lambda axes: (plt.close(axes.figure) or b"", 1, 1))
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        names: dict = {}
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
                names["month"] = month
    return [text for block in _all(shown) for text in _said(block)]


def _all(blocks):
    for block in blocks:
        if isinstance(block, SideBySide):
            yield from _all(inner for side in block.sides for inner in side)
        else:
            yield block


def _said(block) -> list[str]:
    if isinstance(block, Opening):
        return [block.answer, block.lede]
    if isinstance(block, Figure):
        return [block.title]
    return [block.plain()] if isinstance(block, (Answer, NoData, Note, Tiles)) else []


def few_customers(seed: int, customers: int = 15) -> dict:
    rng = np.random.default_rng(seed)
    bought = []
    for who in range(customers):
        for day in rng.integers(0, 700, int(rng.integers(1, 6))):
            at = utc("2024-07-15 10:00") + np.timedelta64(int(day), "D")
            bought.append({"order_id": f"O{len(bought)}", "customer_id": f"C{who}", "at": at, "amount": float(rng.integers(10, 500)), "kind": "sale"})
    return {"orders": table("orders", bought)}


def few_contracts(seed: int, customers: int = 15) -> dict:
    rng = np.random.default_rng(seed)
    rows = []
    for who in range(customers):
        start = np.datetime64("2024-01-01") + int(rng.integers(0, 600))
        end = start + int(rng.integers(60, 900)) if rng.random() < 0.7 else None
        rows.append({"contract_id": f"K{who}", "customer_id": f"C{who}", "start_on": start, "end_on": end, "monthly_amount": 10.0, "currency": "EUR"})
    return {"contracts": table("contracts", rows)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("contractual", [False, True])
def test_of_few_records_no_sentence_gives_a_rate(seed, contractual, monkeypatch):
    tables = random_company(seed, n_leads=17, n_deals=17, fx=False) | (few_contracts if contractual else few_customers)(seed)
    data = dataset(tables, exported_at="2026-07-01 12:00", settings={"retention": {"contractual": contractual}})
    told = sentences(data, "", monkeypatch)
    assert any("too few" in text for text in told)
    assert not [text for text in told if "Missing" in text]
    rates = [text for text in told if re.search(r"\d\s?%", FIXED.sub("", text))]
    assert not rates, "\n".join(rates)
    assert not [text for text in told if re.search("usual|routine", text.lower()) and not re.search("cannot|no stable|what is usual|too wide", text)]
