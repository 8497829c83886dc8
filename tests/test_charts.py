from __future__ import annotations

import copy

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from companies import first_quick
from matplotlib.axes import Axes

from kpi.presentation import charts
from kpi.presentation.charts import style
from kpi.presentation.language import Words
from kpi.statistics import survival

mpl.use("Agg")
HOSTILE = "$x_1^2$ <b>é&amp; 5 %"
NAN = float("nan")


def frame(values: list[float], n: int = 120) -> pd.DataFrame:
    """Shares with intervals and counts."""
    share = np.array(values, "float64")
    return pd.DataFrame(
        {
            "value": share,
            "low": share - 0.02,
            "high": share + 0.02,
            "n": n,
            "n_events": pd.array((np.nan_to_num(share) * n).astype("int64"), dtype="Int64"),
        }
    )


def bands(values: list[float]) -> pd.DataFrame:
    return frame(values).assign(horizon=[*np.arange(1.0, len(values)), NAN] if values else [])


def curve(rows: list[tuple[int, int, str, int]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["entry", "exit", "outcome", "count"]).astype({"entry": "int64", "exit": "int64", "count": "int64"})
    return survival.aalen_johansen(survival.event_table(table, ["won", "lost"]), ["won", "lost"])


def week(values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"weekday": [i % 7 for i in range(len(values))], "slot": [i % 2 for i in range(len(values))], "value": values, "n": 50})


def cells(rows: list[tuple[str, int, float, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["cohort", "age", "value", "n"]).astype({"cohort": "str", "age": "int64", "value": "float64", "n": "int64"})


def ages(values: list[float]) -> pd.DataFrame:
    return frame(values).assign(age=range(len(values)))


CURVE = [(0, 5, "won", 3), (0, 9, "lost", 4), (0, 30, "censored", 9), (3, 40, "won", 2)]
MATRIX = [
    ("2026-08", 0, 1.0, 30),
    ("2026-08", 1, 0.2, 30),
    ("2026-08", 2, 0.0, 30),
    ("2026-09", 0, 1.0, 25),
    ("2026-09", 1, 0.3, 25),
    ("2026-10", 0, 1.0, 9),
]
HOURS = {"hours": [(0, 12), (12, 24)], "open_hours": pd.DataFrame({"weekday": [0, 1], "slot": [0, 1]})}
CLOSED = {"hours": [(0, 12), (12, 24)], "open_hours": pd.DataFrame({"weekday": [], "slot": []}, dtype="int64")}


def names(count: int, first: str = HOSTILE) -> list[str]:
    return [first, *(f"name {i}" for i in range(1, count))][:count]


def tracked(count: int, empty: bool = False) -> pd.DataFrame:
    """What was expected, and came, at so many times."""
    steps = np.arange(1.0, count + 1)
    table = pd.DataFrame(
        {"horizon": 30 * steps, "value": 9 * steps, "low": 8 * steps, "high": 11 * steps, "actual": 10 * steps, "hiatus": 14 * steps}
    )
    return table.assign(n=50, **dict.fromkeys(("value", "low", "high", "hiatus"), NAN) if empty else {})


def survival_of(rows: list[tuple[int, int, str, int]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["entry", "exit", "outcome", "count"]).astype({"entry": "int64", "exit": "int64", "count": "int64"})
    return survival.kaplan_meier(survival.event_table(table, ["lost"]), causes=["lost"])


STAYS = [(0, 3, "lost", 4), (0, 12, "lost", 2), (0, 40, "censored", 9)]
THREE = {"labels": names(3), "xlabel": HOSTILE, "ylabel": HOSTILE}


def incidence(rows, past=None):
    more = {"past": None if past is None else curve(past), "past_label": HOSTILE, "xlabel": HOSTILE, "mark": 10.0}
    return lambda words: ((curve(rows), words), {"cause": "won", "horizon": 60.0, "label": HOSTILE, **more})


# What each plot is called with, in a good case and in poor ones.
AGES = pd.DataFrame(
    {
        "opportunity_id": ["x", "y", "z"],
        "stage": ["a", "a", "b"],
        "days": [3, 400, 5],
        "amount": [10.0, 100.0, NAN],
        "is_stale": [False, True, False],
    }
)
LIMITS = pd.DataFrame({"stage": ["a", "b"], "limit": [35.0, NAN], "n": [20, 3]})

FLOW = pd.DataFrame(
    [
        (place, move, number, total)
        for place, (total, numbers) in enumerate([(10, (4, 1, 1, 1, 2, 0, 1)), (0, (0,) * 7)], 1)
        for move, number in zip(("forward", "skipped", "back", "won", "lost", "deleted", "open"), numbers, strict=True)
    ],
    columns=["position", "move", "n_events", "n"],
)
PARTS = {"parts": ["on", "back", HOSTILE, "open"]}

CASES = {
    "bands": (charts.plot_bands, lambda words: ((bands([0.2, 0.3, 0.1]), names(3), words), {"past": bands([0.3, 0.2, 0.1]), "xlabel": HOSTILE})),
    "bands, one": (charts.plot_bands, lambda words: ((bands([0.2]), names(1), words), {})),
    "bands, none": (charts.plot_bands, lambda words: ((bands([]), [], words), {})),
    "bands, nothing known": (charts.plot_bands, lambda words: ((bands([NAN] * 3), names(3), words), {"past": bands([NAN] * 3)})),
    "week": (charts.plot_week, lambda words: ((week([0.1 * i for i in range(10)]), words), HOURS)),
    "week, one": (charts.plot_week, lambda words: ((week([0.4]), words), CLOSED)),
    "week, none": (charts.plot_week, lambda words: ((week([]), words), CLOSED)),
    "week, nothing known": (charts.plot_week, lambda words: ((week([NAN] * 9).assign(n=0), words), HOURS)),
    "shares": (charts.plot_shares, lambda words: ((frame([0.2, 0.5]), names(2), words), {"counts": names(2), "xlabel": HOSTILE})),
    "shares, one": (charts.plot_shares, lambda words: ((frame([1.0]), names(1), words), {"counts": names(1)})),
    "shares, none": (charts.plot_shares, lambda words: ((frame([]), [], words), {"counts": []})),
    "shares, nothing known": (charts.plot_shares, lambda words: ((frame([NAN, NAN]), names(2), words), {"counts": names(2)})),
    "amounts": (charts.plot_amounts, lambda words: ((frame([5e5, 2e3]), names(2), words, "EUR"), {"counts": names(2), "xlabel": HOSTILE})),
    "amounts, one": (charts.plot_amounts, lambda words: ((frame([0.0]), names(1), words, "EUR"), {"counts": names(1)})),
    "amounts, none": (charts.plot_amounts, lambda words: ((frame([]), [], words, "EUR"), {"counts": []})),
    "amounts, nothing known": (charts.plot_amounts, lambda words: ((frame([NAN, NAN]), names(2), words, "EUR"), {"counts": names(2)})),
    "account": (charts.plot_account, lambda words: ((800, [40, 10, -60]), {"labels": names(5), "words": words, "xlabel": HOSTILE})),
    "account, one": (charts.plot_account, lambda words: ((800, [40]), {"labels": names(3), "words": words})),
    "account, none": (charts.plot_account, lambda words: ((0, [0, 0, 0]), {"labels": names(5), "words": words})),
    "cohorts": (charts.plot_cohorts, lambda words: ((cells(MATRIX), words), {"xlabel": HOSTILE})),
    "cohorts, one": (charts.plot_cohorts, lambda words: ((cells(MATRIX[-1:]), words), {})),
    "cohorts, none": (charts.plot_cohorts, lambda words: ((cells([]), words), {})),
    "cohorts, nothing known": (charts.plot_cohorts, lambda words: ((cells([("2026-08", 0, NAN, 0), ("2026-08", 1, NAN, 0)]), words), {})),
    "flow": (charts.plot_flow, lambda words: ((FLOW, [HOSTILE, "b"]), PARTS | {"words": words, "xlabel": HOSTILE})),
    "flow, one": (charts.plot_flow, lambda words: ((FLOW[FLOW["position"] == 1], ["a"]), PARTS | {"words": words})),
    "flow, none": (charts.plot_flow, lambda words: ((FLOW.head(0), []), PARTS | {"words": words})),
    "incidence": (charts.plot_incidence, incidence(CURVE, CURVE[:2])),
    "incidence, one": (charts.plot_incidence, incidence(CURVE[:1])),
    "incidence, none": (charts.plot_incidence, incidence([], [])),
    "incidence, nobody had it": (charts.plot_incidence, incidence([(0, 30, "censored", 9)])),
    "points": (charts.plot_points, lambda words: ((frame([0.5, 0.3, 0.1]), names(3), words), {"counts": names(3), "xlabel": HOSTILE})),
    "points, one": (charts.plot_points, lambda words: ((frame([0.5]), names(1), words), {"counts": names(1)})),
    "points, none": (charts.plot_points, lambda words: ((frame([]), [], words), {"counts": []})),
    "points, nothing known": (charts.plot_points, lambda words: ((frame([NAN, NAN], n=0), names(2), words), {"counts": names(2)})),
    "points, too few": (charts.plot_points, lambda words: ((frame([0.5, 0.2], n=3), names(2), words), {"counts": names(2)})),
    "levers": (
        charts.plot_levers,
        lambda words: ((frame([3e4, 0.01]), names(2), words, "EUR"), {"moves": names(2), "heading": HOSTILE, "xlabel": HOSTILE}),
    ),
    "levers, one": (charts.plot_levers, lambda words: ((frame([5.0]), names(1), words, "EUR"), {"moves": names(1)})),
    "levers, none": (charts.plot_levers, lambda words: ((frame([]), [], words, "EUR"), {"moves": []})),
    "ageing": (charts.plot_ageing, lambda words: ((AGES, LIMITS, [HOSTILE, "b"], words), {"xlabel": HOSTILE})),
    "ageing, none": (charts.plot_ageing, lambda words: ((AGES.head(0), LIMITS, ["a", "b"], words), {})),
    "account of money": (
        charts.plot_account,
        lambda words: ((100.0, [50.0, -20.5], [HOSTILE, "in", "out", "end"], words), {"currency": "EUR", "counts": list("1234"), "xlabel": HOSTILE}),
    ),
    "tracking": (charts.plot_tracking, lambda words: ((tracked(9), words), THREE)),
    "tracking, one": (charts.plot_tracking, lambda words: ((tracked(1), words), THREE)),
    "tracking, none": (charts.plot_tracking, lambda words: ((tracked(0), words), THREE)),
    "tracking, nothing known": (charts.plot_tracking, lambda words: ((tracked(3, empty=True), words), THREE)),
    "survival": (charts.plot_survival, lambda words: ((survival_of(STAYS), words), {"label": HOSTILE, "xlabel": HOSTILE})),
    "survival, one": (charts.plot_survival, lambda words: ((survival_of(STAYS[:1]), words), {"label": HOSTILE})),
    "survival, none": (charts.plot_survival, lambda words: ((survival_of([]), words), {"label": HOSTILE})),
    "survival, nobody left": (charts.plot_survival, lambda words: ((survival_of(STAYS[2:]), words), {"label": HOSTILE})),
    "retention": (charts.plot_retention, lambda words: ((ages([1.0, 0.2, 0.1]), words), {"xlabel": HOSTILE, "ylabel": HOSTILE})),
    "retention, one": (charts.plot_retention, lambda words: ((ages([1.0]), words), {})),
    "retention, none": (charts.plot_retention, lambda words: ((ages([]), words), {})),
    "retention, nothing known": (charts.plot_retention, lambda words: ((ages([NAN, NAN]), words), {})),
}


def copied(arguments):
    return copy.deepcopy([part for part in arguments if isinstance(part, pd.DataFrame)])


@pytest.fixture
def words() -> Words:
    return Words("fr")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_every_plot_is_tried():
    assert {function.__name__ for function, _ in CASES.values()} == set(charts.__all__)


@pytest.mark.parametrize("case", CASES)
def test_draws_on_the_axes_given_and_leaves_all_else_alone(case, words):
    function, arguments = CASES[case]
    places, named = arguments(words)
    before = copied([*places, *named.values()])
    settings = dict(mpl.rcParams)
    figure, (left, right) = plt.subplots(1, 2)
    assert function(*places, **named, ax=right) is right
    assert not left.has_data()
    assert not left.texts
    assert plt.get_fignums() == [figure.number], "no figure of its own"
    assert dict(mpl.rcParams) == settings
    for now, then in zip(copied([*places, *named.values()]), before, strict=True):
        pd.testing.assert_frame_equal(now, then)
    figure.canvas.draw()


@pytest.mark.parametrize("case", first_quick([case for case in CASES if "," not in case], 4))
def test_becomes_a_picture_of_equal_bytes(case):
    function, arguments = CASES[case]
    pictures = []
    for _ in range(2):
        places, named = arguments(Words("en"))
        drawn = function(*places, **named)
        assert isinstance(drawn, Axes)
        pictures.append(style.png(drawn))
    assert pictures[0] == pictures[1]
    assert pictures[0][0].startswith(b"\x89PNG")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("case", [case for case in CASES if "," not in case])
def test_hostile_names_stay_text(case):
    function, arguments = CASES[case]
    places, named = arguments(Words("en"))
    drawn = function(*places, **named)
    drawn.get_figure().canvas.draw()
    texts = [text for text in drawn.get_figure().findobj(mpl.text.Text) if "$" in text.get_text()]
    if HOSTILE in [*map(str, (part for group in (*places, *named.values()) if isinstance(group, list) for part in group)), *map(str, named.values())]:
        assert texts
    assert not any(text.get_parse_math() for text in texts)


def test_axis_of_its_own_has_the_size_of_the_page():
    drawn = style.axes(height=2.5)
    assert drawn.get_figure().get_size_inches().tolist() == [style.WIDTH, 2.5]
    assert style.png(drawn)[1:] == (round(100 * style.WIDTH), 250)


def test_context_holds_inside_only():
    before = dict(mpl.rcParams)
    with pytest.raises(ValueError, match="within"), style.context():
        assert mpl.rcParams["text.parse_math"] is False
        raise ValueError("within")
    assert dict(mpl.rcParams) == before


def test_intervals_and_counts_are_drawn(words):
    drawn = charts.plot_shares(frame([0.2, 0.5]), ["a", "b"], words, counts=["12 of 60", "30 of 60"])
    written = " ".join(text.get_text() for text in drawn.texts)
    assert "12 of 60" in written
    assert words.percent(0.2) in written
    spans = [path.vertices for collection in drawn.collections for path in collection.get_paths()]
    assert any(np.allclose(sorted(points[:, 0])[:: len(points) - 1], [0.18, 0.22]) for points in spans if len(points) > 1)


def test_a_lever_whose_interval_includes_zero_is_hollow(words):
    table = pd.DataFrame({"value": [30.0, 20.0], "low": [5.0, -5.0], "high": [60.0, 40.0]})
    ax = charts.plot_levers(table, ["one", "other"], words, "EUR", moves=["1 → 2", "3 → 4"])
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() for line in points] == [style.MEASURE, "white"]
    assert [line.get_xdata()[0] for line in points] == [30, 20]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() != "o"] == [0]  # the line of no gain
    assert {"1 → 2", "3 → 4"} <= {text.get_text() for text in ax.texts}


def test_cells_not_observed_stay_empty(words):
    drawn = charts.plot_cohorts(cells(MATRIX), words)
    written = [text.get_text() for text in drawn.texts]
    assert words.number(20) in written
    assert words.number(0) in written  # a month without a purchase is shown as 0
    assert len(written) <= len(MATRIX)


def test_ticks_are_written_in_the_readers_language():
    assert style.ticks(Words("fr").percent)(0.25, 0) == Words("fr").percent(0.25)


def test_the_parts_of_a_flow_are_the_whole(words):
    drawn = charts.plot_flow(FLOW[FLOW["position"] == 1], ["a"], ["on", "back", "lost", "open"], words)
    assert [round(bar.get_width(), 9) for bar in drawn.patches] == [0.6, 0.1, 0.2, 0.1]
    written = [text.get_text() for text in drawn.texts]
    assert [text for text in written if text.isdigit()] == ["6", "1", "2", "1"]
