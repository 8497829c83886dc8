"""Process behaviour charts: published and hand-worked examples, the run rule, gaps, and what stable processes do."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi.errors import DataError, ParameterError, SchemaError
from kpi.statistics import process_control


def series(values, n=None, start="2025-01") -> pd.DataFrame:
    months = [str(month) for month in pd.period_range(start, periods=len(values), freq="M")]
    frame = pd.DataFrame({"month": months, "value": np.array(values, dtype=float)})
    return frame if n is None else frame.assign(n=n)


def reasons(values, kind="count", n=None) -> list[str]:
    return process_control.behaviour(series(values, n), kind)["reason"].tolist()


STEADY = [40, 44, 38, 41, 43, 39, 42, 40, 37, 41, 44, 39]  # mean 40.667, moving ranges 4 6 3 2 4 3 2 3 4 3 5: mean 39 / 11

# --- published and by hand


def test_limits_of_the_nist_flow_rates():
    # NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.2, individuals chart: centre 50.81, limits 55.8041 and 45.8159.
    flow = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]
    chart = process_control.behaviour(series([*flow, 70]), "mean")
    assert chart["centre"].iloc[0] == pytest.approx(50.81)
    assert chart[["lower", "upper"]].iloc[0].tolist() == pytest.approx([45.8159, 55.8041], abs=0.002)  # 2.66 there in full: 3 / 1.128
    assert chart["provisional"].all() and not chart["signal"].any()  # ten months set the limits


def test_counts_by_hand():
    reach = 2.66 * 39 / 11
    chart = process_control.behaviour(series([*STEADY, 51]), "count")
    assert chart["centre"].to_numpy() == pytest.approx(488 / 12)
    assert chart["lower"].to_numpy() == pytest.approx(488 / 12 - reach)
    assert chart["upper"].to_numpy() == pytest.approx(488 / 12 + reach)  # 50.1
    assert not chart["provisional"].any()
    assert chart["signal"].tolist() == [False] * 12 + [True]
    assert reasons([*STEADY, 51])[-1] == "above" and reasons([*STEADY, 50])[-1] == "" and reasons([*STEADY, 31])[-1] == "below"


def test_money_is_judged_on_the_logarithms():
    amounts = np.exp(np.array(STEADY) / 10)
    chart = process_control.behaviour(series([*amounts, 1]), "money")
    plain = process_control.behaviour(series([*STEADY, 0]), "mean")
    for name in ("centre", "lower", "upper"):
        assert np.log(chart[name]).to_numpy() == pytest.approx(plain[name].to_numpy() / 10)


def test_rates_by_hand():
    # 12 months of 100 leads, 30 answered: limits .3 +- 3 sqrt(.21 / n)
    chart = process_control.behaviour(series([0.3] * 12 + [0.45], n=[100] * 12 + [25]), "rate")
    assert chart["upper"].iloc[[0, 12]].tolist() == pytest.approx([0.3 + 3 * 0.0458258, 0.3 + 3 * 0.0916515], abs=1e-6)
    assert chart["reason"].tolist() == [""] * 13
    assert reasons([0.3] * 12 + [0.45], "rate", n=[100] * 13)[-1] == "above"
    few = process_control.behaviour(series([0.02] * 12 + [0.98], n=[10] * 13), "rate")
    assert few["lower"].eq(0).all() and few["upper"].le(1).all()
    pooled = process_control.behaviour(series([0.1] * 6 + [0.5] * 6 + [0.4], n=[300] * 6 + [100] * 7), "rate")
    assert pooled["centre"].to_numpy() == pytest.approx(0.2)  # (6 x 30 + 6 x 50) / 2400, not the mean of the rates


# --- runs


def run_from(length: int, last: float = 42.0) -> list[float]:
    return [41.0, 39.0] * 10 + [42.0] * (length - 1) + [last]


def test_eight_months_on_one_side_are_a_signal():
    assert reasons(run_from(7))[-1] == ""
    assert reasons(run_from(8))[-1] == "run_above"
    assert reasons(run_from(9))[-2:] == ["run_above"] * 2
    assert reasons([80 - value for value in run_from(8)])[-1] == "run_below"


def test_outside_the_limits_goes_before_a_run():
    assert reasons(run_from(8, last=80.0))[-1] == "above"


def test_a_gap_or_the_centre_itself_ends_a_run():
    gap = run_from(9)
    gap[-4] = np.nan
    assert reasons(gap)[-1] == ""
    absent = series(run_from(9)).drop(index=25)
    assert process_control.behaviour(absent, "count")["reason"].iloc[-1] == ""
    on_it = [39.0, 41.0, 41.0, 39.0] * 4 + [41.0] * 4 + [40.0] + [39.0] * 4 + [41.0] * 4
    chart = process_control.behaviour(series(on_it), "mean")
    assert not chart["signal"].any()


# --- what sets the limits


def test_the_month_reported_does_not_set_its_own_limits():
    low, high = (process_control.behaviour(series([*STEADY, last]), "count") for last in (41, 4100))
    assert low["upper"].tolist() == high["upper"].tolist()


@pytest.mark.parametrize(("months", "provisional"), [(11, True), (12, False)])
def test_twelve_months_with_a_value_are_needed(months, provisional):
    chart = process_control.behaviour(series([*STEADY[:months], 4100]), "count")
    assert chart["provisional"].unique().tolist() == [provisional]
    assert chart["signal"].iloc[-1] != provisional and chart["upper"].notna().all()


def test_missing_months_are_gaps_not_zeros():
    values = [*STEADY[:6], np.nan, *STEADY[6:], 41]
    chart = process_control.behaviour(series(values), "count")
    assert chart["centre"].iloc[0] == pytest.approx(488 / 12)
    assert chart["upper"].iloc[0] == pytest.approx(488 / 12 + 2.66 * 36 / 10)  # the range of 3 across the gap is not one
    assert not chart["signal"].any() and chart["provisional"].eq(False).all()
    absent = process_control.behaviour(series(values).drop(index=6), "count")
    assert absent["upper"].iloc[0] == chart["upper"].iloc[0]
    assert reasons([*STEADY, np.nan]) == [""] * 13


def test_a_month_without_records_has_no_rate():
    chart = process_control.behaviour(series([0.3] * 13 + [0.9], n=[50] * 12 + [0, np.nan]), "rate")
    assert chart["lower"].isna().tolist() == [False] * 12 + [True] * 2
    assert not chart["signal"].any()


def test_zero_amounts():
    assert reasons([*np.exp(np.array(STEADY) / 10), 0], "money")[-1] == "below"  # never before
    chart = process_control.behaviour(series([*STEADY[:-1], 0, 30]), "money")
    assert chart["centre"].iloc[0] == pytest.approx((488 - 39) / 12)  # part of the usual: as they are, no logarithm
    assert chart["lower"].ge(0).all()
    assert process_control.behaviour(series([1, 9] * 6 + [5]), "count")["lower"].eq(0).all()
    refunds = process_control.behaviour(series([5, -5] * 6 + [0]), "money")
    assert refunds["lower"].iloc[0] < 0


def test_equal_months_are_not_told_apart_by_rounding():
    assert reasons([0.1] * 20, "mean") == [""] * 20
    assert reasons([0.1] * 20, "money") == [""] * 20
    assert reasons([0.1] * 20, "rate", n=[70] * 20) == [""] * 20
    assert reasons([5] * 12 + [6])[-1] == "above"


def test_short_series():
    assert process_control.behaviour(series([]), "count").columns.tolist()[2:] == ["centre", "lower", "upper", "signal", "reason", "provisional"]
    for values in ([3], [3, 4], [np.nan] * 15):
        for kind in ("count", "money", "mean"):
            chart = process_control.behaviour(series(values), kind)
            assert chart["provisional"].all() and not chart["signal"].any() and chart["upper"].isna().all()
        assert process_control.behaviour(series(values, n=0), "rate")["provisional"].all()
    alternate = [value for pair in zip(STEADY, [np.nan] * 12, strict=True) for value in pair]
    assert process_control.behaviour(series([*alternate, 99]), "count")["provisional"].all()  # no two neighbours: no range


@given(st.lists(st.floats(1, 1e6), min_size=13, max_size=30), st.floats(0.01, 100))
def test_the_unit_does_not_matter(values, factor):
    for kind in ("mean", "money"):
        one, other = (process_control.behaviour(series(found), kind) for found in (np.array(values), np.array(values) * factor))
        assert other["centre"].to_numpy() == pytest.approx(one["centre"].to_numpy() * factor, rel=1e-9)
        assert other["upper"].to_numpy() == pytest.approx(one["upper"].to_numpy() * factor, rel=1e-6)


def test_input_and_other_columns_are_kept():
    frame = series([*STEADY, 51]).assign(kpi="leads")
    before = frame.copy()
    chart = process_control.behaviour(frame, "count")
    pd.testing.assert_frame_equal(frame, before)
    assert chart["kpi"].eq("leads").all() and chart["signal"].dtype == bool


# --- false alarms


def test_the_two_rules_alarm_once_in_152_7_points():
    # Champ and Woodall 1987, known limits: a Markov chain on the length of the run so far, left at the first alarm.
    inside, start = 0.9973002, np.zeros(7)
    start[0] = 1
    step = np.zeros((7, 7))
    for length in range(7):
        step[length, 0] += inside / 2  # the other side: a run of one
        if length < 6:
            step[length, length + 1] += inside / 2
    expected = 1 + inside * np.linalg.solve(np.eye(7) - step, np.ones(7))[0]
    assert expected == pytest.approx(152.7, abs=0.1)
    # The kit's rules on stable months: many series, a gap after each; when is the first alarm?
    many, length = 3000, 1000
    value = np.random.default_rng(2).standard_normal((many, length))
    value[:, -1] = np.nan
    flat = np.ones(value.size)
    found = process_control._reasons(np.arange(value.size), value.ravel(), 0 * flat, -3 * flat, 3 * flat).reshape(value.shape) != ""
    first = np.where(found.any(axis=1), found.argmax(axis=1) + 1, length)
    assert first.mean() == pytest.approx(152.7, abs=4 * 150 / many**0.5)
    # In the long run a month is in alarm when outside or the eighth of a side or later.
    assert found[:, 8:-1].mean() == pytest.approx(1 - 0.9973 * (1 - 1 / 128), rel=0.03)


def test_false_alarm_rate_of_known_limits():
    assert process_control.false_alarm_rate(1, 10**6, seed=1) == pytest.approx(1 - 0.9973 * (1 - 1 / 128), abs=0.0015)


@pytest.mark.slow
def test_false_alarm_rate_is_what_the_charts_do():
    baseline, many = 12, 1000
    rng = np.random.default_rng(4)
    months = series([0] * (baseline + 1))
    found = np.mean(
        [process_control.behaviour(months.assign(value=rng.standard_normal(baseline + 1)), "mean")["signal"].iloc[-1] for _ in range(many)]
    )
    rate = process_control.false_alarm_rate(1, baseline, seed=1)
    assert found == pytest.approx(rate, abs=4 * (rate / many) ** 0.5)


def test_false_alarm_rate_of_many_charts():
    one = process_control.false_alarm_rate(1, 12, seed=1)
    assert process_control.false_alarm_rate(6, 12, seed=1) == pytest.approx(1 - (1 - one) ** 6)
    assert one == process_control.false_alarm_rate(1, 12, seed=1) == pytest.approx(process_control.false_alarm_rate(1, 12, seed=2), abs=0.001)
    assert process_control.false_alarm_rate(0, 12, seed=1) == 0 == process_control.false_alarm_rate(6, 11, seed=1)
    assert process_control.false_alarm_rate(1, 12, 1) > process_control.false_alarm_rate(1, 24, 1) > process_control.false_alarm_rate(1, 48, 1)


# --- errors


def test_errors_say_what_to_do():
    with pytest.raises(ParameterError, match="kind is 'ratio'; give one of"):
        process_control.behaviour(series(STEADY), "ratio")
    with pytest.raises(SchemaError, match=r"lacks \['n'\]"):
        process_control.behaviour(series([0.5]), "rate")
    with pytest.raises(DataError, match="'2026-13' is no month"):
        process_control.behaviour(pd.DataFrame({"month": ["2026-13"], "value": [1.0]}), "count")
    with pytest.raises(DataError, match="repeated or not sorted"):
        process_control.behaviour(series(STEADY).iloc[::-1], "count")
    with pytest.raises(DataError, match="outside"):
        process_control.behaviour(series([30.0], n=5), "rate")
    with pytest.raises(ParameterError, match="charts is -1"):
        process_control.false_alarm_rate(-1, 12, 1)
