"""Curves from counts: published tables, statsmodels, the definition as a slow loop, and relations that must hold."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import CumIncidenceRight, SurvfuncRight

from kpi.errors import DataError, ParameterError, SchemaError
from kpi.statistics import survival

WAYS = ["won", "lost"]


def counted(entry, exit, outcome, **groups) -> pd.DataFrame:
    """One row per record."""
    return pd.DataFrame({"entry": entry, "exit": exit, "outcome": outcome, "count": 1, **groups})


def curve_of(rows: pd.DataFrame, causes=WAYS, by=()) -> pd.DataFrame:
    return survival.aalen_johansen(survival.event_table(rows, causes, by), causes, by)


def drawn(seed: int, n: int = 400, latest: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return counted(0, rng.integers(0, latest, n), rng.choice([*WAYS, "censored"], n, p=[0.3, 0.4, 0.3]))


# --- published and by hand

# Weeks in remission on 6-MP, + still in remission; Freireich et al. 1963, Blood 21:699-716.
FREIREICH = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"


@pytest.fixture
def remission() -> pd.DataFrame:
    weeks = FREIREICH.split()
    outcome = ["censored" if text.endswith("+") else "relapse" for text in weeks]
    return survival.event_table(counted(0, [int(text.rstrip("+")) for text in weeks], outcome), ["relapse"])


def test_kaplan_meier_of_freireich(remission):
    curve = survival.kaplan_meier(remission)
    curve = curve[curve["events"] > 0]
    assert curve["time"].tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve["at_risk"].tolist() == [21, 17, 15, 12, 11, 7, 6]
    assert curve["survival"].round(3).tolist() == [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    # Standard errors and log(-log) limits as in the manuals of SAS (LIFETEST) and Stata (sts list).
    assert curve["se"].round(4).tolist() == [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346]
    assert curve["low"].round(4).tolist() == [0.6197, 0.5631, 0.5032, 0.4316, 0.3675, 0.2678, 0.1881]
    assert curve["high"].round(4).tolist() == [0.9516, 0.9228, 0.8894, 0.8491, 0.8049, 0.7468, 0.6801]


def test_median_remission_of_freireich(remission):
    median = survival.quantile(survival.kaplan_meier(remission), 0.5)
    assert median.loc[0, ["value", "low", "n", "n_events", "n_open"]].tolist() == [23, 13, 21, 9, 12]
    assert np.isnan(median.loc[0, "high"])  # the upper limit does not fall to one half
    assert np.isnan(survival.quantile(survival.kaplan_meier(remission), 0.9).loc[0, "value"])


def test_competing_outcomes_by_hand():
    # 5 deals: won on day 1, open since day 1, lost on day 2, won on day 3, open since day 4. At risk: 5, 3, 2, 1.
    curve = curve_of(counted(0, [1, 1, 2, 3, 4], ["won", "censored", "lost", "won", "censored"]))
    assert curve["at_risk"].tolist() == [5, 5, 3, 2, 1]
    assert curve["incidence_won"].tolist() == pytest.approx([0, 1 / 5, 1 / 5, 1 / 5 + 8 / 15 / 2, 7 / 15])
    assert curve["incidence_lost"].tolist() == pytest.approx([0, 0, 4 / 15, 4 / 15, 4 / 15])
    assert curve["survival"].tolist() == pytest.approx([1, 4 / 5, 8 / 15, 4 / 15, 4 / 15])


# --- statsmodels


@pytest.mark.parametrize("seed", range(4))
def test_kaplan_meier_is_that_of_statsmodels(seed):
    rows = drawn(seed)
    curve = survival.kaplan_meier(survival.event_table(rows, WAYS))
    oracle = SurvfuncRight(rows["exit"], (rows["outcome"] != "censored").astype(int))
    ours = curve[curve["events"] > 0]
    assert ours["time"].tolist() == oracle.surv_times.tolist()
    assert ours["survival"].to_numpy() == pytest.approx(oracle.surv_prob, abs=1e-12)
    assert ours["se"].to_numpy() == pytest.approx(oracle.surv_prob_se, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_late_entry_is_that_of_statsmodels(seed):
    rows = drawn(seed)
    rows["entry"] = np.random.default_rng(seed).integers(0, rows["exit"] + 1)
    curve = survival.kaplan_meier(survival.event_table(rows, WAYS))
    # There a record is not at risk in the bin it enters, here it is: half a bin between the two.
    oracle = SurvfuncRight(rows["exit"], (rows["outcome"] != "censored").astype(int), entry=rows["entry"] - 0.5)
    ours = curve[curve["events"] > 0]
    assert ours["at_risk"].tolist() == oracle.n_risk.tolist()
    assert ours["survival"].to_numpy() == pytest.approx(oracle.surv_prob, abs=1e-12)
    assert ours["se"].to_numpy() == pytest.approx(oracle.surv_prob_se, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_incidence_is_that_of_statsmodels(seed):
    rows = drawn(seed)
    rows = pd.concat([rows, counted([0], [40], ["censored"])])  # its variance is undefined where all at risk have an outcome
    ours = curve_of(rows).query("won + lost + censored > 0")
    oracle = CumIncidenceRight(rows["exit"].to_numpy(), rows["outcome"].map({"censored": 0, "won": 1, "lost": 2}).to_numpy())
    assert ours["time"].tolist() == oracle.times.tolist()
    for cause, incidence, error in zip(WAYS, oracle.cinc, oracle.cinc_se, strict=True):
        assert ours[f"incidence_{cause}"].to_numpy() == pytest.approx(incidence, abs=1e-12)
        assert ours[f"se_{cause}"].to_numpy() == pytest.approx(error, abs=1e-9)  # running sums here and there, in another order


# --- the definition, record by record


def slow_curve(rows: pd.DataFrame, cause: str) -> list[tuple]:
    """At risk, survival, incidence and standard error per bin: as written in the books, one record and one bin at a time."""
    found, steps, alive, incidence = [], [], 1.0, 0.0
    for bin in sorted({*rows["entry"], *rows["exit"]}):
        watched = [row for row in rows.itertuples() if row.entry <= bin <= row.exit]
        ended = [row for row in watched if row.exit == bin and row.outcome != "censored"]
        n, d, own = len(watched), len(ended), sum(row.outcome == cause for row in ended)
        if n:
            incidence += alive * own / n
            steps.append((n, d, own, alive, incidence))
            alive *= 1 - d / n
        variance = 0.0
        for n_j, d_j, own_j, alive_j, incidence_j in steps:
            rise = incidence - incidence_j
            if d_j < n_j:
                variance += rise**2 * d_j / (n_j * (n_j - d_j)) - 2 * rise * alive_j * own_j / n_j**2
            variance += alive_j**2 * own_j * (n_j - own_j) / n_j**3
        found.append((n, alive, incidence, max(variance, 0.0) ** 0.5))
    return found


records = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.sampled_from([*WAYS, "censored"])).map(lambda r: (*sorted(r[:2]), r[2])),
    min_size=1,
    max_size=25,
)


@given(records)
def test_the_estimator_is_its_definition(found):
    rows = counted(*map(list, zip(*found, strict=True)))
    curve = curve_of(rows)
    for cause in WAYS:
        slow = np.array(slow_curve(rows, cause))
        assert curve["at_risk"].tolist() == slow[:, 0].tolist()
        fast = curve[["survival", f"incidence_{cause}"]].to_numpy()
        assert fast == pytest.approx(slow[:, 1:3], abs=1e-12)
        assert curve[f"se_{cause}"].to_numpy() ** 2 == pytest.approx(slow[:, 3] ** 2, abs=1e-12)


@given(records)
def test_shares_are_shares_and_sum_to_one(found):
    curve = curve_of(counted(*map(list, zip(*found, strict=True))))
    assert (curve["survival"] + curve["incidence_won"] + curve["incidence_lost"]).to_numpy() == pytest.approx(1, abs=1e-12)
    for cause in WAYS:
        low, value, high = (curve[f"{name}_{cause}"].to_numpy() for name in ("low", "incidence", "high"))
        assert ((low >= 0) & (low <= value + 1e-12) & (value <= high + 1e-12) & (high <= 1)).all()
        assert (np.diff(value) >= 0).all()


@given(records)
def test_one_outcome_is_kaplan_meier_turned_over(found):
    rows = counted(*map(list, zip(*found, strict=True))).replace({"outcome": {"lost": "won"}})
    curve, plain = curve_of(rows, ["won"]), survival.kaplan_meier(survival.event_table(rows, ["won"]))
    assert curve["incidence_won"].to_numpy() == pytest.approx(1 - plain["survival"].to_numpy(), abs=1e-12)
    assert curve["se_won"].tolist() == plain["se"].tolist()
    assert curve["low_won"].to_numpy() == pytest.approx(1 - plain["high"].to_numpy(), abs=1e-12)
    # Greenwood, where survival is above 0
    n, d = plain["at_risk"], plain["events"]
    inside = plain["survival"] > 0
    greenwood = plain["survival"] * (d / (n * (n - d)).where(n > d)).fillna(0).cumsum() ** 0.5
    assert plain["se"][inside].to_numpy() ** 2 == pytest.approx(greenwood[inside].to_numpy() ** 2, abs=1e-12)


# --- relations


@given(records, st.randoms(use_true_random=False))
@pytest.mark.slow
def test_row_order_and_splitting_change_nothing(found, random):
    rows = counted(*map(list, zip(*found, strict=True)))
    whole = survival.event_table(rows, WAYS)
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    pd.testing.assert_frame_equal(survival.event_table(rows.iloc[shuffled], WAYS), whole)
    grouped = rows.groupby(["entry", "exit", "outcome"], as_index=False)["count"].sum()
    pd.testing.assert_frame_equal(survival.event_table(grouped, WAYS), whole)
    parts = pd.concat([survival.event_table(rows.iloc[shuffled[:5]], WAYS), survival.event_table(rows.iloc[shuffled[5:]], WAYS)])
    pd.testing.assert_frame_equal(survival.aalen_johansen(parts, WAYS), survival.aalen_johansen(whole, WAYS))


def test_groups_are_estimated_apart_and_summed_over_when_not_named():
    rows = pd.concat([drawn(1).assign(source="web", month="2026-09"), drawn(2).assign(source=None, month="2026-10")])
    table = survival.event_table(rows, WAYS, ["source", "month"])
    curve = survival.aalen_johansen(table, WAYS, ["source", "month"])
    for seed, group in ((1, curve[curve["source"] == "web"]), (2, curve[curve["source"].isna()])):
        pd.testing.assert_frame_equal(group.drop(columns=["source", "month"]).reset_index(drop=True), curve_of(drawn(seed)))
    pd.testing.assert_frame_equal(survival.aalen_johansen(table, WAYS), curve_of(rows))
    pd.testing.assert_frame_equal(survival.kaplan_meier(table, causes=WAYS), survival.kaplan_meier(survival.event_table(rows, WAYS)))
    read = survival.at(curve, [30, 10], "won", ["source", "month"])
    assert read[["source", "horizon"]].fillna("-").to_numpy().tolist() == [["web", 10], ["web", 30], ["-", 10], ["-", 30]]
    assert read["value"].iloc[2] == survival.at(curve_of(drawn(2)), [10], "won")["value"].iloc[0]
    assert len(survival.quantile(curve, 0.2, "won", ["source", "month"])) == 2


@pytest.mark.parametrize("seed", range(3))
def test_without_open_records_it_is_the_plain_proportion(seed):
    rows = drawn(seed)
    rows = rows[rows["outcome"] != "censored"]
    curve, n = curve_of(rows), len(rows)
    for cause in WAYS:
        share = np.array([((rows["exit"] <= bin) & (rows["outcome"] == cause)).sum() / n for bin in curve["time"]])
        assert curve[f"incidence_{cause}"].to_numpy() == pytest.approx(share, abs=1e-12)
        assert curve[f"se_{cause}"].to_numpy() == pytest.approx(np.sqrt(share * (1 - share) / n), abs=1e-9)


def test_late_entry_gives_the_curve_of_the_whole_history():
    # Constant hazards: who is seen only from an age on has the same curve from there.
    rng = np.random.default_rng(3)
    age = rng.geometric(0.05, 60_000)
    entry = rng.integers(0, 60, len(age))
    rows = counted(np.where(entry < 30, 0, entry), age, rng.choice(WAYS, len(age), p=[0.25, 0.75]))
    read = survival.at(curve_of(rows[rows["entry"] <= rows["exit"]]), [30, 60], "won")
    assert read["value"].to_numpy() == pytest.approx(0.25 * (1 - 0.95 ** np.array([30, 60])), abs=0.006)


def test_truth_is_recovered_where_one_minus_kaplan_meier_is_too_high():
    rng, n = np.random.default_rng(5), 40_000
    fate = rng.choice(["won", "lost", "never"], n, p=[0.25, 0.60, 0.15])
    delay = np.ceil(np.select([fate == "won", fate == "lost"], [rng.gamma(3, 20, n), rng.gamma(2, 20, n)], np.inf))
    seen = rng.integers(30, 721, n)
    outcome = np.where(delay <= seen, fate, "censored")
    rows = counted(0, np.minimum(delay, seen).astype(int), outcome)
    value = survival.at(curve_of(rows), [600], "won")
    assert value.loc[0, "value"] == pytest.approx(0.25, abs=0.01)
    assert value.loc[0, "low"] < 0.25 < value.loc[0, "high"]
    naive = survival.kaplan_meier(survival.event_table(rows.replace({"outcome": {"lost": "censored"}}), ["won"]))
    assert 1 - survival.at(naive, [600])["value"].iloc[0] > 0.31


# --- reading a curve


def test_counts_at_a_horizon():
    rows = counted(0, [3, 10, 10, 10, 12, 20], ["censored", "won", "censored", "lost", "won", "censored"])
    read = survival.at(curve_of(rows), [10, 11, 20], "won")
    assert read["n"].tolist() == [6, 6, 6]
    assert read["n_events"].tolist() == [1, 1, 2]
    assert read["n_open"].tolist() == [1, 2, 2]  # seen through day 10 without outcome: known at 10, unknown at 11
    assert read["value"].tolist() == pytest.approx([1 / 5, 1 / 5, 1 / 5 + 3 / 5 / 2])


def test_a_horizon_nobody_was_followed_to_has_no_value():
    rows = counted(0, [5, 9], ["won", "censored"])
    read = survival.at(curve_of(rows), [1, 2, 9, 10], "won")
    assert read["value"].isna().tolist() == [False, False, False, True]
    assert read.loc[[3], ["low", "high"]].isna().all(axis=None)
    late = survival.at(curve_of(counted(2, [5, 9], ["won", "lost"])), [1, 2, 9, 10], "won")
    assert late[["value", "low", "high"]].isna().all(axis=None), "nobody was under observation before age 2"
    closed = survival.at(curve_of(counted(0, [5, 9], WAYS)), [9, 1000], "won")
    assert closed["value"].tolist() == [0.5, 0.5]  # all have their outcome: nothing can change
    assert closed["low"].tolist() == pytest.approx([closed["low"].iloc[0]] * 2)


@pytest.mark.parametrize(("n", "known"), [(25, True), (21, True), (19, False), (10, False)])
def test_beyond_follow_up_a_value_is_read_where_at_most_a_twentieth_is_undecided(n, known):
    read = survival.at(curve_of(counted(0, [2] * (n - 1) + [9], ["won"] * (n - 1) + ["censored"])), [9, 30], "won")
    assert read["value"].notna().tolist() == [True, known]
    if known:  # the undecided one may still be won, or never
        assert read["value"].iloc[1] == pytest.approx(1 - 1 / n)
        assert read["high"].iloc[1] == pytest.approx(min(read["high"].iloc[0] + 1 / n, 1))
        assert read["low"].iloc[1] == read["low"].iloc[0]


def test_quantile_counts_rounded_sums_as_reached():
    rows = counted(0, np.arange(10), ["won"] * 10)
    assert survival.quantile(curve_of(rows), 0.3, "won")["value"].tolist() == [2]  # .1 + .1 + .1
    rows["outcome"] = ["won"] * 5 + ["lost"] * 5
    assert survival.quantile(curve_of(rows), 0.5, "won")["value"].tolist() == [4]


def test_quantile_inverts_the_band():
    curve = curve_of(drawn(8))
    found = survival.quantile(curve, 0.2, "won").loc[0]
    for end, column in (("value", "incidence_won"), ("low", "high_won"), ("high", "low_won")):
        assert found[end] == curve.loc[curve[column] >= 0.2, "time"].min()
    assert found["low"] <= found["value"] <= found["high"]


# --- edges


def test_empty_tables():
    table = survival.event_table(drawn(1).assign(source="web").iloc[:0], WAYS, ["source"])
    assert table.columns.tolist() == ["source", "time", "entered", "censored", *WAYS] and table.empty
    curve = survival.aalen_johansen(table, WAYS, ["source"])
    assert curve.empty and "high_lost" in curve
    assert survival.at(curve, [1, 2], "won", ["source"]).empty and survival.quantile(curve, 0.5, "won", ["source"]).empty
    read = survival.at(survival.kaplan_meier(table, causes=WAYS), [1, 2])
    assert read["n"].tolist() == [0, 0] and read["value"].isna().all()
    assert np.isnan(survival.quantile(survival.aalen_johansen(table, WAYS), 0.5, "won").loc[0, "value"])


def test_one_record():
    curve = curve_of(counted([0], [0], ["won"]))
    assert curve.loc[0, ["at_risk", "survival", "incidence_won", "se_won", "high_won"]].tolist() == [1, 0, 1, 0, 1]
    assert curve.loc[0, "low_won"] == pytest.approx(0.2065, abs=1e-4)  # Wilson, 1 of 1
    open_one = curve_of(counted([0], [7], ["censored"]))
    assert open_one["incidence_won"].tolist() == [0, 0] and open_one["low_won"].tolist() == [0, 0]


@pytest.mark.parametrize("n", [10, 49, 107])
def test_all_had_the_outcome_is_exactly_one(n):
    last = curve_of(counted(0, np.arange(n), ["won"] * n)).iloc[-1]
    assert last[["incidence_won", "se_won", "high_won"]].tolist() == [1, 0, 1]
    assert last["low_won"] == pytest.approx(n / (n + 1.959964**2), rel=1e-6)


def test_no_event_yet_is_wilson_of_the_records_entered():
    curve = curve_of(counted(0, [1, 2, 3, 9], ["lost", "lost", "lost", "censored"]))
    # 0 of 4 won: after the losses a single record is at risk, but four have told something
    assert curve["high_won"].tolist() == pytest.approx([0.4899] * 5, abs=1e-4)


def test_the_risk_set_may_run_empty_and_refill():
    curve = curve_of(counted([0, 0, 6, 6], [2, 3, 8, 9], ["won", "censored", "won", "lost"]))
    assert curve["time"].tolist() == [0, 2, 3, 6, 8, 9]
    assert curve["at_risk"].tolist() == [2, 2, 1, 2, 2, 1]
    assert curve["incidence_won"].tolist() == pytest.approx([0, 0.5, 0.5, 0.5, 0.75, 0.75])
    read = survival.at(curve, [3, 4, 5, 8], "won")["value"]
    assert read[0] == 0.5
    assert read[1:].isna().all(), "nobody was under observation from age 4 to 5, which is not that nothing happened then"
    assert survival.quantile(curve, 0.5, "won")["value"].item() == 2
    assert math.isnan(survival.quantile(curve, 0.7, "won")["value"].item())


def test_survival_stays_zero_once_all_at_risk_had_an_outcome():
    curve = curve_of(counted([0, 6, 6], [2, 8, 9], ["won", "lost", "censored"]))
    assert curve["survival"].tolist()[1:] == [0] * 4
    assert curve["incidence_won"].tolist()[1:] == [1] * 4 and curve["incidence_lost"].tolist() == [0] * 5
    assert curve["low_won"].tolist()[1:] == pytest.approx([0.2065] * 4, abs=1e-4)


def test_input_is_left_alone():
    rows = drawn(1)
    before = rows.copy()
    table = survival.event_table(rows, WAYS)
    kept = table.copy()
    curve = survival.aalen_johansen(table, WAYS)
    read = curve.copy()
    survival.at(curve, [3], "won")
    survival.quantile(curve, 0.5, "won")
    for now, then in ((rows, before), (table, kept), (curve, read)):
        pd.testing.assert_frame_equal(now, then)


# --- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": "withdrawn"}, r"outcomes \['withdrawn'\] are neither"),
        ({"entry": 99}, "leave before they enter, e.g. entry 99"),
        ({"exit": np.nan}, "is missing"),
        ({"count": -1}, "negative or not whole"),
        ({"count": 0.5}, "negative or not whole"),
    ],
)
def test_counts_that_make_no_table_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        survival.event_table(drawn(1).assign(**change), WAYS)


def test_other_errors_say_what_to_do():
    table = survival.event_table(drawn(1).assign(team="Nord"), WAYS, ["team"])
    curve = survival.aalen_johansen(table, WAYS, ["team"])
    with pytest.raises(SchemaError, match=r"columns \['count'\] are missing"):
        survival.event_table(drawn(1).drop(columns="count"), WAYS)
    with pytest.raises(SchemaError, match=r"columns \['source'\] are missing from the event table"):
        survival.aalen_johansen(table, WAYS, ["source"])
    with pytest.raises(SchemaError, match=r"columns \['team'\] of the event table hold no counts"):
        survival.kaplan_meier(table)
    with pytest.raises(ParameterError, match="an outcome cannot be called"):
        survival.event_table(drawn(1), ["censored", "won"])
    with pytest.raises(ParameterError, match="name each outcome once"):
        survival.event_table(drawn(1), ["won", "won"])
    with pytest.raises(ParameterError, match=r"the curve has no incidence_bought; name one of the outcomes \['won', 'lost'\]"):
        survival.at(curve, [3], "bought", ["team"])
    with pytest.raises(ParameterError, match="the curve has no incidence_won; read it without a cause"):
        survival.quantile(survival.kaplan_meier(table, ["team"]), 0.5, "won", ["team"])
    with pytest.raises(ParameterError, match="name all its grouping columns"):
        survival.at(curve_of(pd.concat([drawn(1).assign(team="Nord"), drawn(2).assign(team="Sud")]), WAYS, ["team"]), [3], "won")
    with pytest.raises(ParameterError, match="p is 50"):
        survival.quantile(curve, 50, "won", ["team"])
    with pytest.raises(ParameterError, match="level is 95"):
        survival.aalen_johansen(table, WAYS, level=95)
    for wrong in (table.assign(won=table["won"] + 1), table.assign(entered=table["entered"] + 1)):
        with pytest.raises(DataError, match="does not add up"):
            survival.aalen_johansen(wrong, WAYS)


# --- slow


@pytest.mark.slow
def test_a_hundred_thousand_bins_take_less_than_a_second():
    rng, n = np.random.default_rng(1), 300_000
    table = survival.event_table(counted(0, rng.integers(0, 100_000, n), rng.choice([*WAYS, "censored"], n), g=rng.integers(0, 3, n)), WAYS, ["g"])
    start = time.perf_counter()
    survival.at(survival.aalen_johansen(table, WAYS, ["g"]), [1000, 50_000], "won", ["g"])
    assert len(table) > 100_000 and time.perf_counter() - start < 1


@pytest.mark.slow
@pytest.mark.parametrize("entering", ["at the start", "late"])
def test_intervals_cover_the_truth_as_often_as_they_say(entering):
    # Won .25, lost .60, never .15, delays geometric, follow-up uniform; each of 2,000 groups is a company of some 120 deals.
    rng, groups, size = np.random.default_rng(9), 2000, 120
    n = groups * size
    fate = rng.choice([*WAYS, "never"], n, p=[0.25, 0.60, 0.15])
    delay = np.where(fate == "never", 10**6, rng.geometric(0.03, n))
    seen = rng.integers(20, 200, n)
    entry = np.zeros(n, dtype=int) if entering == "at the start" else np.maximum(rng.integers(-60, 60, n), 0)
    rows = counted(entry, np.minimum(delay, seen), np.where(delay <= seen, fate, "censored"), company=np.repeat(np.arange(groups), size))
    curve = curve_of(rows[rows["entry"] <= rows["exit"]], WAYS, ["company"])
    read = survival.at(curve, [30, 90], "won", ["company"])
    truth = 0.25 * (1 - 0.97 ** read["horizon"])
    covered = read["low"].le(truth) & read["high"].ge(truth)
    assert covered.groupby(read["horizon"]).mean().between(0.93, 0.97).all()
    assert (read["value"] - truth).groupby(read["horizon"]).mean().abs().max() < 0.003
    median = survival.quantile(curve, 0.125, "won", ["company"])
    exact = np.ceil(np.log(0.5) / np.log(0.97))  # half of those ever won
    inside = median["low"].le(exact) & median["high"].fillna(np.inf).ge(exact)
    assert 0.93 < inside.mean() < 0.985


# --- too few under observation


def arrivals(early: int, rate: float, rng: np.random.Generator, falls: float = 1.0) -> pd.DataFrame:
    """Records under observation in the last 90 days: some came before, a few since; outcomes become rarer with age where `falls` < 1."""
    born = np.floor(np.concatenate([rng.uniform(-400, -90, rng.poisson(early)), rng.uniform(-90, 0, rng.poisson(rate * 90))])).astype(int)
    life = np.floor(60 * rng.weibull(falls, len(born))).astype(int)
    end = born + life
    rows = pd.DataFrame({"entry": np.maximum(-90 - born, 0), "exit": np.minimum(end, -1) - born, "count": 1})
    return rows.assign(outcome=np.where(end >= 0, "censored", np.where(rng.random(len(born)) < 0.5, "won", "lost")))[end >= -90]


@pytest.mark.parametrize(("young", "known"), [(0, False), (4, False), (5, True)])
def test_those_who_entered_late_tell_nothing_of_the_ages_before(young, known):
    late = pd.DataFrame({"entry": 40, "exit": range(41, 141), "outcome": ["won", "lost", "censored", "censored"] * 25, "count": 1})
    new = pd.DataFrame({"entry": 0, "exit": [60] * young, "outcome": "censored", "count": 1})
    curve = survival.aalen_johansen(survival.event_table(pd.concat([late, new], ignore_index=True), WAYS), WAYS)
    assert survival.at(curve, [30, 90], "won")["value"].notna().tolist() == [known, known]


def test_a_cohort_whose_records_all_had_an_outcome_needs_nobody_at_risk():
    curve = survival.aalen_johansen(survival.event_table(counted(0, list(range(1, 31)), ["won", "lost"] * 15), WAYS), WAYS)
    assert survival.at(curve, [29, 30, 365], "won")["value"].tolist() == pytest.approx([0.5, 0.5, 0.5])


@pytest.mark.slow
@pytest.mark.parametrize("falls", [1.0, 0.6])
def test_the_floor_of_records_under_observation_keeps_the_coverage(falls):
    """What is given covers the truth as often as it says; what is held back, read all the same, would not where outcomes become rarer with age."""
    rng, kept, hidden = np.random.default_rng(2), [], []
    truth = 0.5 * (1 - np.exp(-((91 / 60) ** falls)))
    for _ in range(3000):
        rows = arrivals(150, float(np.exp(rng.uniform(np.log(0.005), np.log(0.5)))), rng, falls)
        if len(rows) < survival.SMALL:
            continue
        curve = survival.aalen_johansen(survival.event_table(rows, WAYS), WAYS)
        row = survival.at(curve, [90], "won").iloc[0]
        whole = survival.at(curve.assign(until=np.inf), [90], "won").iloc[0]
        (hidden if np.isnan(row["value"]) else kept).append(whole["low"] <= truth <= whole["high"])
    assert len(kept) > 500
    assert len(hidden) > 500
    assert np.mean(kept) > 0.93, np.mean(kept)
    assert np.mean(hidden) < np.mean(kept)


HAZARDS = {"constant": [(600, 0.006)], "falling": [(15, 0.05), (585, 0.003)], "rising": [(60, 0.002), (60, 0.02), (480, 0.002)]}


@pytest.mark.slow
@pytest.mark.parametrize("hazard", HAZARDS)
def test_few_left_at_risk_are_enough_where_their_effective_number_is(hazard):
    """Also where only one or two are under observation at some age, for most before had an outcome, what is given covers the truth."""
    daily = np.concatenate([np.full(days, share) for days, share in HAZARDS[hazard]])
    truth, left, rng = 1 - np.prod(1 - daily[:181]), np.cumprod(1 - daily), np.random.default_rng(3)
    held: dict[bool, list[bool]] = {True: [], False: []}
    for size in rng.integers(25, 120, 500):
        age = rng.integers(0, 400, size)  # today; seen in the last 90 days
        life = np.searchsorted(-left, -rng.random(size), side="right")
        rows = pd.DataFrame({"entry": np.maximum(age - 90, 0), "exit": np.minimum(life, age), "count": 1})
        rows = rows.assign(outcome=np.where(life <= age, "won", "censored"))[life >= np.maximum(age - 90, 0)]
        if len(rows) < survival.SMALL:
            continue
        row = survival.at(survival.aalen_johansen(survival.event_table(rows, ["won"]), ["won"]), [180], "won").iloc[0]
        if not np.isnan(row["value"]):
            least = min(((rows["entry"] <= day) & (rows["exit"] >= day)).sum() for day in range(0, 181, 3))
            held[bool(least < survival.FLOOR)].append(row["low"] <= truth <= row["high"])
    assert min(len(cases) for cases in held.values()) > 40
    assert all(np.mean(cases) > 0.88 for cases in held.values()), {name: (np.mean(cases), len(cases)) for name, cases in held.items()}
    assert np.mean(held[True] + held[False]) > 0.92
