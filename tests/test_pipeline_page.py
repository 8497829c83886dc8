"""The pipeline page says what the numbers say: every judging sentence is chosen from them."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from companies import dataset, deal, selling, utc

from kpi import compute
from kpi.periods import Month, Window
from kpi.presentation.blocks import Answer
from kpi.presentation.language import Words
from kpi.presentation.pages import comparison, movement, open_deals, pipeline, pulse, response_time, stage_by_stage, wording
from kpi.presentation.pages.about import About

NAN = float("nan")


@pytest.fixture
def about() -> About:
    month = Month.parse("2026-10")
    return About(Words("en"), "EUR", "Europe/Paris", month, pd.Timestamp("2026-10-31 23:00"), "", False, [])


def rates(*values: float, n: int = 200, half: float = 0.05, **more) -> pd.DataFrame:
    share = np.array(values)
    table = {"value": share, "low": share - half, "high": share + half, "n": n, "n_events": np.nan_to_num(share * n).astype(int), "n_open": 40}
    span = {"window_start": date(2026, 8, 3), "window_end": date(2026, 11, 1)}
    return pd.DataFrame(table | span | {"horizon": 180.0} | more)


def said(blocks: list) -> str:
    return " ".join(block.sentence for block in blocks if isinstance(block, Answer))


def lost(mean: float) -> pd.DataFrame:
    return pd.DataFrame({"statistic": ["mean", "median", "top5_share"], "value": [mean, mean, 0.1]})


@pytest.mark.parametrize(
    ("closed", "words"), [(0.40, "more than the 30% of all"), (0.20, "less than the 30% of all"), (0.32, "close to the 30% of all")]
)
def test_the_usual_rate_is_held_against_the_share_won(about, closed, words):
    text = said(pipeline.closed_win_rate(about, rates(0.30), rates(closed), rates(closed), lost(10.0)))
    assert words in text
    assert "40 still open" in text
    assert "no settled difference" in text


@pytest.mark.parametrize(
    ("amount", "mean", "words"),
    [(0.40, 10.0, "won more often than small ones"), (0.20, 10.0, "won less often than small ones"), (1.0, 0.0, "Lost deals carry no amount here")],
)
def test_the_rate_by_amount_is_read(about, amount, mean, words):
    assert words in said(pipeline.closed_win_rate(about, rates(0.30), rates(0.30), rates(amount), lost(mean)))


def test_too_few_closed_deals_are_not_judged(about):
    assert said(pipeline.closed_win_rate(about, rates(0.30), rates(0.30, n=19), rates(0.30), lost(10.0))) == ""


NOW = [
    (0.19, "clearly more than 19% a year ago"),
    (0.24, "no settled change from 24% a year ago"),  # the intervals overlap, and so might those of a difference: 6 points, 7 either way
    (0.45, "clearly less than 45%"),
    (0.32, "no settled change from 32%"),
    (NAN, "within 180 days (25–35%). 10%"),
]


@pytest.mark.parametrize(("before", "words"), NOW)
def test_leads_are_compared_with_a_year_ago(about, before, words):
    names = [f"{part}_{cause}" for part in ("incidence", "low", "high") for cause in ("won", "opportunity")]
    curves = [(pd.DataFrame({"time": [0, 30], "at_risk": [9, 5]} | {name: [0.1, 0.3] for name in names}),) * 2] * 2
    keys = ("pipeline.lead_to_opportunity", "pipeline.lead_to_customer")
    results = [tuple(rates(share, kpi=key) for share in shares) for shares, key in zip(((0.30, before), (0.10, 0.11)), keys, strict=True)]
    quarters = [rates(0.4, 0.2, 0.1, kpi=key, quarter=["2025-Q4", "2026-Q1", "2026-Q2"], n=[200, 60, 5]) for key in keys]
    text = said(pipeline.lead_conversion(about, curves, results, quarters))
    assert words in text
    assert "10% of leads are customers within 180 days (5–15%): no settled change from 11% a year ago." in text
    unknown = rates(NAN, kpi=keys[1]), rates(0.11, kpi=keys[1])
    text = said(pipeline.lead_conversion(about, curves, [results[0], unknown], quarters))
    assert (
        "Lead to customer: the last 90 days do not tell, for at some age too few were under observation. Of the 60 leads of Q1 2026, 20% were" in text
    )


def test_the_target_is_told_where_there_is_one(about):
    row = {"value": 2.0, "open_amount": 500e3, "target": 400e3, "won": 150e3}
    told = [open_deals._covered(about, table) for table in (None, *(pd.DataFrame([row | more]) for more in ({}, {"target": NAN}, {"value": NAN})))]
    assert told[0] == told[2] == ""
    assert "2.0 times what is missing to its target" in told[1]
    assert "is reached" in told[3]


def test_only_differences_beyond_chance_are_told(about):
    total = rates(0.3)
    apart = rates(0.45, 0.30, source=["web", "fair"])[["source", *total.columns]]
    near = rates(0.34, 0.30, 0.3, size=[0.0, 1000.0, NAN])[["size", *total.columns]]
    assert said(comparison.won_by_group(about, [apart, near], total)) == "Source: web wins 45% (40–50%), fair 30% (25–35%)."
    assert said(comparison.won_by_group(about, [near], total)).startswith("Neither source nor size")
    unknown = rates(0.34, 0.30, 0.05, size=[0.0, 1000.0, NAN])[["size", *total.columns]]  # deals without an amount are no size
    assert said(comparison.won_by_group(about, [unknown], total)).startswith("Neither source nor size")


def test_the_best_and_worst_of_many_must_lie_further_apart(about):
    def owners(count: int) -> pd.DataFrame:
        middle = [0.3] * (count - 2)
        return rates(0.351, *middle, 0.249, owner=[f"o{place}" for place in range(count)])[["owner", *rates(0.3).columns]]

    assert "wins" in said(comparison.won_by_group(about, [owners(5)], rates(0.3)))
    assert said(comparison.won_by_group(about, [owners(10)], rates(0.3))).startswith("Neither")


def test_sizes_are_named_by_their_bands(about):
    sizes = rates(0.3, 0.3, 0.3, 0.3, size=[NAN, 5000.0, 0.0, 1000.0])[["size", *rates(0.3).columns]]
    _, table = comparison.won_by_group(about, [sizes], rates(0.3))
    assert [cells[0].text for _, cells in table.rows] == ["under €1,000", "€1,000 to €5,000", "€5,000 and more", "no amount"]


STEPS = [((0.3, 0.6), "loses most"), ((0.55, 0.6), "no difference is settled"), ((0.3, NAN), "Too few deals moved")]


def test_the_page_opens_by_the_newest_cohort_where_too_few_were_under_observation(about):
    won = rates(NAN, kpi="pipeline.opportunity_to_customer")
    quarters = rates(0.4, 0.2, NAN, kpi="pipeline.opportunity_to_customer", quarter=["2025-Q4", "2026-Q1", "2026-Q2"])
    answer = pipeline.opening(about, won, rates(0.3), rates(0.4), quarters).answer
    assert "at some age too few were under observation. Of the 200 created in Q1 2026, 20% were won by then (15–25%)." in answer
    assert pipeline.opening(about, won, rates(0.3), rates(0.4), quarters.head(0)).answer.endswith("too few were under observation.")


def test_where_all_months_are_provisional_the_first_page_calls_nothing_usual(about):
    months = pd.DataFrame({"kpi": ["retention.kept"], "kind": "rate", "value": 0.9, "n": 90, "signal": False, "provisional": True})
    won = months.assign(kpi="pipeline.won_value", kind="money", value=0.0, n=0)
    end = "there are too few months yet to say what is usual."
    assert pulse.opening(about, [months]).answer == f"October 2026: {end}"
    assert pulse.opening(about, [months, won]).answer == f"October 2026 won €0; {end}"


def test_all_won_says_that_losses_are_not_recorded(about):
    everything = rates(1.0, n=40, half=0.0)
    answer = pipeline.opening(about, rates(1.0, kpi="pipeline.opportunity_to_customer"), rates(0.3), everything, rates(0.3).head(0)).answer
    assert answer.startswith("Of 40 deals closed in the last 90 days none is recorded as lost")
    assert said(pipeline.closed_win_rate(about, rates(1.0), everything, everything, lost(10.0))).startswith("Of 40 deals closed")


def test_equal_and_narrow_is_unchanged(about):
    """30.0 % and 30.5 %, each known to 1 point: the difference is within 2 points. Known to 4 points, it is not settled."""
    now, past = (pd.Series({"value": share, "low": share - 0.01, "high": share + 0.01, "n": 9000}) for share in (0.300, 0.304))
    assert wording.against_year(about.words, "30% are won", now, past) == "30% are won: unchanged from 30% a year ago (±2 points)."
    assert "no settled change" in wording.against_year(about.words, "", now, past + pd.Series({"value": 0, "low": -0.03, "high": 0.03, "n": 0}))
    assert wording.against_year(about.words, "30% are won", now, past.replace(9000, 19)) == "30% are won."  # a year ago there were no records
    assert wording.against_year(about.words, "30% are won", now, past * np.nan) == "30% are won."


def test_ends_of_many_groups_need_more_than_two_that_were_meant(about):
    """10 points apart, each known to 6: the difference of two is 10 +- 8.5; of the ends of five groups, ten pairs, it is 10 +- 12.1."""
    high, low = (pd.Series({"value": share, "low": share - 0.06, "high": share + 0.06}) for share in (0.40, 0.30))
    assert (wording.differ(high, low), wording.differ(low, high), wording.differ(high, low, 5)) == (1, -1, 0)


@pytest.mark.parametrize(("values", "words"), STEPS)
def test_the_weakest_step_is_named_when_it_is_settled(about, values, words):
    table = rates(*values, stage=["a", "b"], next_stage=["b", "c"])
    assert words in stage_by_stage._weakest(about.words, table)


@pytest.mark.parametrize(("amount", "named"), [(50.0, True), (0.0, False), (None, False)])
def test_sizes_are_compared_only_where_lost_deals_have_them(amount, named):
    deals = [deal(status, "2026-03-01", status, "2026-04-01", 100.0 if status == "won" else amount) for status in ("won", "lost")]
    data = dataset(selling(deals))
    window = Window(date(2026, 1, 1), date(2026, 5, 1))
    found = compute.won_by_group(data, utc("2026-05-01"), window, 30)
    assert ("size" in [frame.columns[0] for frame in found]) == named


def test_without_amounts_of_lost_deals_the_rate_by_amount_is_not_shown(about):
    table = pipeline.closed_win_rate(about, rates(0.3), rates(0.3), rates(1.0), lost(0.0))[-1]
    assert "100%" not in table.plain()


def test_sentences_take_their_spans_from_the_result(about):
    month = {"window_start": date(2026, 10, 1), "window_end": date(2026, 10, 31), "horizon": 60.0}
    reasons = rates(0.5, reason=["price"], amount=1.0, **month)
    assert "in the last 30 days" in movement.loss_reasons(about, reasons, reasons)[-1].note
    assert said(movement.loss_reasons(about, reasons.head(0), reasons.head(0))) == "No deal was lost in the last 90 days."  # as the KPI is defined
    steps = rates(0.3, 0.6, stage=["a", "b"], next_stage=["b", "c"], **month)
    assert "during the last 30 days · within 60 days of reaching it" in stage_by_stage._steps(about, steps).note
    assert pipeline.by_quarter(about, rates(0.3, quarter=["2026-Q3"], **month)).head[4].text == "Won within\n60 d"


@pytest.mark.parametrize("months", [pd.DataFrame({"value": []}), pd.DataFrame({"value": [0.5, NAN]})])
def test_a_month_without_leads_is_said(about, months):
    assert response_time.opening(about, months, pd.DataFrame()).answer == "No leads came in in October 2026."
