"""Models of lifetime value: published answers, arithmetic of 60 digits, hard data, simulated truth."""

from __future__ import annotations

import os
import zipfile
from functools import cache
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
import pytest
from companies import first_quick

from kpi import lifetime_value as lv
from kpi.errors import DataError, ParameterError
from kpi.lifetime_value import purchase_model, renewal_model, special_functions, spending_model
from tests.simulated.purchases import simulate_purchases

MODELS = ("bg", "mbg")
BG = np.array([0.2426, 4.4135, 0.7929, 2.4258])  # CDNOW, Fader, Hardie and Lee (2005), table 2


def customers(repeats, recency, age, count=1) -> pd.DataFrame:
    columns = {"repeats": repeats, "recency": recency, "age": age}
    return pd.DataFrame({name: np.atleast_1d(values).astype("float64") for name, values in columns.items()}).assign(count=count)


def log_likelihood(table: pd.DataFrame, parameters: np.ndarray, model: str) -> float:
    return purchase_model.Histories(*purchase_model.checked(table), model).natural(*parameters)[0]


def total_interval(table: pd.DataFrame, fit: lv.PurchaseModel, ahead: float, seed: int, draws: int = 50) -> np.ndarray:
    """90 % interval of the purchases of all together: parameters drawn, and chance around what they lead to expect."""
    totals = lv.expected_purchases(table, fit.draws(draws, seed), fit.model, ahead) @ table["count"]
    chance = np.sqrt(lv.variance_of_purchases(table, fit.parameters, fit.model, ahead) @ table["count"])
    noise = np.random.default_rng(seed + 1).standard_normal((20, draws))
    return np.quantile(np.maximum(totals + chance * noise, 0), [0.05, 0.95])


# --- published ------------------------------------------------------------------------------------------------------------------------------------


@cache
def cdnow(name: str) -> pd.DataFrame:
    """A file of the package lifetimes 0.11.3, read from its wheel: KPI_LIFETIMES_WHEEL says where that is."""
    wheel = os.environ.get("KPI_LIFETIMES_WHEEL", "")
    if not Path(wheel).is_file():
        pytest.skip("KPI_LIFETIMES_WHEEL names no wheel of lifetimes 0.11.3, which holds the CDNOW customers")
    with zipfile.ZipFile(wheel) as archive, archive.open(f"lifetimes/datasets/{name}.csv") as file:
        return pd.read_csv(file)


def cdnow_counts() -> pd.DataFrame:
    table = cdnow("cdnow_customers_summary").rename(columns={"frequency": "repeats", "T": "age"})
    return table.groupby(["repeats", "recency", "age"], as_index=False).agg(count=("ID", "size"))


@pytest.mark.parametrize(
    ("model", "parameters", "value"),
    [("bg", [0.2426, 4.4135, 0.7929, 2.4258], -9582.4256), ("mbg", [0.5248, 6.183, 0.8914, 1.614], -9582.13)],
)
def test_cdnow_purchases(model, parameters, value):
    table = cdnow_counts()
    assert table["count"].sum() == 2357
    fit = lv.fit_purchases(table, model)
    assert fit.parameters == pytest.approx(parameters, abs=1e-3)
    assert fit.log_likelihood == pytest.approx(value, abs=6e-3)
    assert log_likelihood(table, fit.parameters, model) == pytest.approx(fit.log_likelihood, abs=1e-8)
    assert fit.held == ()
    if model == "bg":
        total = lv.expected_purchases(table, fit.parameters, model, 39) @ table["count"]
        assert total == pytest.approx(1653, abs=1)


def test_cdnow_spending():
    table = cdnow("cdnow_customers_summary_with_transactions")
    table = table[table["x"] > 0]
    assert len(table) == 946
    fit = lv.fit_spending(pd.DataFrame({"purchases": table["x"], "amount": table["zbar"], "count": 1}))
    assert fit.parameters == pytest.approx([6.2488, 3.7446, 15.4477], abs=1e-3)


def test_a_cdnow_customer():
    who = customers(2, 30.43, 38.86)
    assert lv.expected_purchases(who, BG, "bg", 39)[0] == pytest.approx(1.2259, abs=1e-3)
    assert lv.probability_active(who, BG, "bg")[0] == pytest.approx(0.7266, abs=1e-3)


# Fader and Hardie (2007), Journal of Interactive Marketing 21:76-90, table 1: per cent of customers still there after 1, 2, ... renewals.
RENEWING = {
    "regular": ([63.1, 46.8, 38.2, 32.6, 28.9, 26.2, 24.1], [0.7041, 1.1820], -1680.265, [22.3, 20.7, 19.4, 18.3, 17.3]),
    "high end": ([86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1], [0.6681, 3.8061], -1611.158, [46.8, 44.5, 42.7, 40.9, 39.4]),
}


def renewing(shares) -> pd.DataFrame:
    left = np.r_[1000, np.round(np.asarray(shares) * 10)]
    return pd.DataFrame({"renewal": np.arange(1, len(left)), "lost": -np.diff(left), "kept": np.r_[np.zeros(len(left) - 2), left[-1]]})


@pytest.mark.parametrize("segment", RENEWING)
def test_published_renewals(segment):
    shares, parameters, value, later = RENEWING[segment]
    fit = lv.fit_renewals(renewing(shares))
    assert fit.parameters == pytest.approx(parameters, abs=1e-3)
    assert fit.log_likelihood == pytest.approx(value, abs=1e-2)
    assert lv.share_kept(np.arange(8, 13), fit.parameters) == pytest.approx(np.array(later) / 100, abs=0.02)  # what then happened


@pytest.mark.parametrize("segment", RENEWING)
def test_renewals_held_out_are_met_better_than_by_a_constant_rate(segment):
    shares, _, _, later = RENEWING[segment]
    table = renewing(shares)
    model = lv.share_kept(np.arange(8, 13), lv.fit_renewals(table).parameters)
    at_risk = table["lost"].iloc[::-1].cumsum().iloc[::-1] + table["kept"].iloc[-1]
    constant = shares[-1] / 100 * (1 - table["lost"].sum() / at_risk.sum()) ** np.arange(1, 6)
    assert np.abs(model - np.array(later) / 100).max() < np.abs(constant - np.array(later) / 100).max() / 3


def test_contracts_like_those_of_a_telephone_company():
    """Monthly contracts, lost early or hardly ever; 72 months with 59 % left: no median, and the later months are projected."""
    rng = np.random.default_rng(5)
    leaves = rng.geometric(np.clip(rng.beta(0.16, 3.9, 7043), 1e-9, 1))
    seen = rng.integers(1, 73, 7043)
    seen[:2000] = 72

    def counted(until: int) -> pd.DataFrame:
        end = np.minimum(seen, until)
        lost = np.bincount(leaves[leaves <= end], minlength=until + 1)[1:]
        kept = np.bincount(end[leaves > end], minlength=until + 1)[1:]
        return pd.DataFrame({"renewal": np.arange(1, until + 1), "lost": lost, "kept": kept})

    whole = lv.share_kept(np.array([72]), lv.fit_renewals(counted(72)).parameters)[0]
    assert 0.55 < whole < 0.66
    half = lv.fit_renewals(counted(36))
    truth = (leaves > 72).mean()
    early = counted(36)
    exposure = sum(int(((leaves >= month) & (seen >= month)).sum()) for month in range(1, 37))
    constant = (1 - early["lost"].sum() / exposure) ** 72
    assert abs(lv.share_kept(np.array([72]), half.parameters)[0] - truth) < abs(constant - truth) / 3


# --- sixty digits ---------------------------------------------------------------------------------------------------------------------------------


def to_come(function, s: float, t: float, a: float, b: float) -> float:
    return special_functions.mean_over_dropout(function, np.array([s]), np.array([[t]]), a, b, np.zeros(1)).item()


@pytest.mark.parametrize("a", [0.03, 0.9, 1.0, 1 + 1e-9, 1.7, 8.0, 19.0, 300.0])
def test_purchases_to_come_agree_with_sixty_digits(a):
    rng = np.random.default_rng(7)
    shape, reach, beta = 10 ** rng.uniform(-3, 2.5, 6), 10 ** rng.uniform(-2, 1.2, 6), 10 ** rng.uniform(-1, 4, 6)
    shape[0], beta[0] = 6500.4, 6502.0
    shape[1], beta[1], reach[1] = 6500.4, 6502.0, 0.05
    found = [to_come(special_functions.purchases, *case, a, b) for *case, b in zip(shape, reach, beta, strict=True)]
    with mpmath.workdps(60):
        for s, t, b, value in zip(*(part.tolist() for part in (shape, reach, beta)), found, strict=True):
            s, t, b = mpmath.mpf(s), mpmath.mpf(t), mpmath.mpf(b)
            exact = s * t * mpmath.hyp3f2(s + 1, a, 1, a + b, 2, -t)
            assert abs(value / exact - 1) < 1e-10


def summed(s: float, t: float, a: float, b: float, weight: int) -> mpmath.mpf:
    """Sum over j of P(more than j would be bought) x P(still there after j) x (1 + weight j), term by term: all are above 0, nothing cancels."""
    s, t, a, b = map(mpmath.mpf, (s, t, a, b))
    z = t / (1 + t)
    exact = (1 - z) ** s  # P(just j would be bought)
    more, stays, total = 1 - exact, mpmath.mpf(1), mpmath.mpf(0)
    for j in range(100_000):
        term = more * stays * (1 + weight * j)
        total += term
        if term * (j + 10) < 1e-16 * (1 - z) * total:
            return total
        stays *= (b + j) / (a + b + j)
        exact *= (s + j) / (j + 1) * z
        more -= exact
    raise AssertionError("the terms do not end")


def scattered(number: int) -> list[tuple[float, float, float, float]]:
    """Parameters from everywhere, and from both sides of where the way of working changes."""
    rng = np.random.default_rng(12)
    cases = [(2.5, 3.0, 20 + sign, 4.0) for sign in (-1e-9, 1e-9)]
    cases += [(0.7, 0.9, 0.6, 0.9 + sign) for sign in (-1e-9, 1e-9)]
    cases += [(9.0, 0.9, 5.5, 3.5 + sign) for sign in (-1e-9, 1e-9)]
    cases += [(0.03, 4.0, 1.0, 3.0 + sign) for sign in (-1e-9, 1e-9)]
    cases += [
        (1e-6, 12.0, 1.5, 0.1),
        (0.4, 200.0, 1.0, 1.2),
        (6500.4, 0.3, 40.0, 6510.0),
        (6500.4, 0.3, 0.8, 6502.0),
        (6500.4, 40.0, 2000.0, 8000.0),
        (0.4, 300.0, 21.0, 0.1),
        (0.5, 1e-9, 0.8, 2.4),
        (0.6, 3.0, 0.4, 0.6),
    ]
    while len(cases) < number:
        s, t, a, b = 10 ** rng.uniform([-3, -3, -2, -1.5], [3, 1, 1.4, 4])
        if s * t < 100:
            cases.append((s, t, a, b + s * rng.integers(2)))
    return cases


def test_what_is_to_come_agrees_with_sixty_digits_everywhere():
    cases = scattered(50)
    mean, square = ([to_come(function, *case) for case in cases] for function in (special_functions.purchases, special_functions.purchases_squared))
    with mpmath.workdps(60):
        for case, one, other in zip(cases, mean, square, strict=True):
            assert abs(one / summed(*case, 0) - 1) < 1e-10
            assert abs(other / summed(*case, 2) - 1) < 1e-10


@pytest.mark.parametrize("parameters", [(0.6, 30, 0.8, 2.4), (0.02, 3, 1, 0.3), (9, 700, 0.2, 0.3), (0.8, 10, 2000, 8000), (50, 500, 1e-9, 1e-3)])
@pytest.mark.parametrize("model", MODELS)
def test_customers_together_are_as_exact_as_each_alone(model, parameters):
    """Those who bought about as often share the nodes, those of equal age and purchases the answer."""
    r, alpha, a, b = parameters
    x = np.array([0, 0, 1, 7, 8, 9, 40, 300, 320, 2000])
    age = np.array([3, 900, 900, 7, 30, 30.5, 400, 350, 900, 2500])
    table = customers(x, np.where(x > 0, age - 1, 0), age)
    both, lengths = pd.concat([table, table.iloc[::-1]], ignore_index=True), np.array([1e-3, 30.0, 365.0])
    found = lv.expected_purchases(both, np.array([parameters, parameters]), model, lengths)
    assert (found[0] == found[1]).all()
    assert (found[..., :10] == found[..., :9:-1]).all()
    active = lv.probability_active(table, np.array(parameters), model)
    for length, row in zip(lengths, found[0], strict=True):
        cases = zip(r + x, length / (alpha + age), b + x + (model == "mbg"), strict=True)
        alone = [to_come(special_functions.purchases, s, t, a, beta) for s, t, beta in cases]
        assert row[:10] == pytest.approx(active * alone, rel=1e-11, abs=0)


@pytest.mark.parametrize("model", MODELS)
def test_likelihood_and_probability_agree_with_sixty_digits(model):
    cases = [(0, 0, 5), (3, 7, 9), (6500, 6600, 6601), (1, 1e-3, 900)]
    for parameters in ((0.2426, 4.4135, 0.7929, 2.4258), (50.0, 900.0, 1.0, 3.0), (0.5, 2.0, 900.0, 9100.0), (0.01, 0.3, 0.1, 0.4)):
        for x, recency, age in cases:
            if model == "bg" or x:
                table = customers(x, recency, age)
                with mpmath.workdps(60):
                    r, alpha, a, b, t, end = map(mpmath.mpf, (*parameters, recency, age))
                    m = x + (model == "mbg")
                    stays = mpmath.beta(a, b + m) / mpmath.beta(a, b) / (alpha + end) ** (r + x)
                    goes = mpmath.beta(a + 1, b + m - 1) / mpmath.beta(a, b) / (alpha + t) ** (r + x) if m else mpmath.mpf(0)
                    value = mpmath.log(mpmath.gamma(r + x) * alpha**r / mpmath.gamma(r) * (stays + goes))
                    active = stays / (stays + goes)
                assert abs(log_likelihood(table, np.array(parameters), model) / value - 1) < 1e-10
                assert abs(lv.probability_active(table, np.array(parameters), model)[0] / active - 1) < 1e-10


@pytest.mark.parametrize("model", MODELS)
def test_likelihood_agrees_with_sixty_digits_everywhere(model):
    rng = np.random.default_rng(13)
    for _ in range(60):
        r, alpha, a, b = parameters = 10 ** rng.uniform([-3, -1, -3, -3], [4, 5, 4, 4])
        x = int(10 ** rng.uniform(0, 3.9))
        age = 10 ** rng.uniform(-1, 3.9)
        recency = age * rng.choice([1e-3, rng.random(), 1.0])
        with mpmath.workdps(60):
            m, rise = x + (model == "mbg"), mpmath.rf
            r, alpha, a, b, t, end = map(mpmath.mpf, (*parameters.tolist(), recency, age))
            rate = mpmath.log(rise(r, x)) + r * mpmath.log(alpha)
            stays = rise(b, m) / rise(a + b, m) / (alpha + end) ** (r + x)
            goes = a * rise(b, m - 1) / rise(a + b, m) / (alpha + t) ** (r + x)
            value, active = rate + mpmath.log(stays + goes), stays / (stays + goes)
        table = customers(x, recency, age)
        assert abs(log_likelihood(table, parameters, model) - value) < 1e-10 * max(abs(value), 1)
        if active > 1e-290:
            assert abs(lv.probability_active(table, parameters, model)[0] / active - 1) < 1e-10


def test_log_rise_agrees_with_sixty_digits():
    for z in (1e-8, 0.5, 19.99, 20.0, 1e3, 1e7):
        for m in (1e-3, 1.0, 7.0, 6500.0):
            with mpmath.workdps(60):
                exact = mpmath.loggamma(mpmath.mpf(z) + m) - mpmath.loggamma(z)
            assert abs(special_functions.log_rise(z, m) - exact) < 1e-12 * max(1, abs(exact))


# --- derivatives ----------------------------------------------------------------------------------------------------------------------------------


def slopes_hold(likelihood, place: np.ndarray) -> None:
    _, gradient, hessian = likelihood(place)
    steps = 1e-5 * np.eye(len(place))
    above, below = [likelihood(place + step) for step in steps], [likelihood(place - step) for step in steps]
    assert [(one[0] - other[0]) / 2e-5 for one, other in zip(above, below, strict=True)] == pytest.approx(gradient, rel=1e-6, abs=1e-5)
    numeric = np.array([(one[1] - other[1]) / 2e-5 for one, other in zip(above, below, strict=True)])
    assert numeric == pytest.approx(hessian, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_gradient_and_hessian_are_those_of_the_likelihood(model):
    rows = [np.array(part, "float64") for part in ([0, 1, 4, 9], [0, 2, 3.5, 8], [5, 6, 9, 8.5], [4, 1, 2, 1])]
    slopes_hold(purchase_model.Histories(*rows, model).likelihood, np.array([-0.3, 0.4, -0.8, 0.6]))
    slopes_hold(spending_model._Rows(rows[0] + 1, rows[2], rows[3]).likelihood, np.array([0.4, 0.3, 1.1]))
    slopes_hold(lambda place: renewal_model._likelihood(place, np.arange(4.0), np.array([0.0, 5, 3, 1]), rows[3]), np.array([-0.5, 0.3]))


# --- hard data ------------------------------------------------------------------------------------------------------------------------------------

AGES = np.random.default_rng(2).integers(50, 400, 300).astype("float64")


def made(*parameters, model="mbg") -> pd.DataFrame:
    return simulate_purchases(np.array(parameters), model, AGES, 0, 3).drop(columns="later")


HARD = {
    "daily shoppers": lambda: customers([6500, 6400, 10, 0], [6600, 6500, 90, 0], [6700, 6600, 100, 300]),
    "one daily shopper": lambda: customers(6500, 6600, 6600),
    "homogeneous drop-out": lambda: made(0.8, 10, 2000, 8000),
    "a + b < 1": lambda: made(0.8, 10, 0.2, 0.3, model="bg"),
    "a = 1": lambda: made(0.8, 10, 1, 2),
    "nobody drops out": lambda: made(0.8, 10, 1e-9, 2),
    "all buy alike": lambda: made(2000, 20000, 0.5, 2),
    "nobody comes back": lambda: customers(np.zeros(20), np.zeros(20), AGES[:20]),
    "one customer": lambda: customers(0, 0, 10),
    "one order each, today": lambda: customers(np.zeros(3), np.zeros(3), np.zeros(3)),
    "all at the end": lambda: customers([5] * 9, [100] * 9, [100] * 9),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", first_quick(HARD, 4))
def test_hard_data_give_numbers(case, model):
    table = HARD[case]()
    fit = lv.fit_purchases(table, model)
    ahead = 30.0
    parts = [
        fit.parameters,
        fit.log_likelihood,
        list(fit.errors.values()),
        lv.probability_active(table, fit.parameters, model),
        lv.expected_purchases(table, fit.parameters, model, ahead),
        lv.variance_of_purchases(table, fit.parameters, model, ahead),
        fit.draws(50, 1),
        total_interval(table, fit, ahead, 1),
    ]
    for part in parts:
        assert np.isfinite(part).all()


@pytest.mark.parametrize("parameters", [(0.6, 30, 1, 2.4), (0.6, 30, 0.2, 0.3), (0.6, 30, 2000, 8000), (1e-3, 5, 1e-3, 1e-3), (1e6, 1e6, 0.5, 0.5)])
@pytest.mark.parametrize("model", MODELS)
def test_hard_parameters_give_numbers_for_hard_customers(model, parameters):
    table = customers([0, 0, 1, 6500, 6500, 12_000], [0, 0, 1, 6500, 6600, 12_000], [0, 3000, 3000, 6500, 9000, 12_000])
    for ahead in (0.0, 1e-6, 30.0, 3650.0):
        expected = lv.expected_purchases(table, np.array(parameters), model, ahead)
        assert np.isfinite(expected).all()
        assert (expected >= 0).all()
        assert np.isfinite(lv.variance_of_purchases(table, np.array(parameters), model, ahead)).all()
    active = lv.probability_active(table, np.array(parameters), model)
    assert ((active >= 0) & (active <= 1)).all()


def test_the_higher_of_two_tops_is_found():
    """One customer in 38 came back, twice within days: a few who buy often and soon leave are likelier than many who hardly buy."""
    table = customers([2, 0], [8, 0], [73, 105], [1, 37])
    fit = lv.fit_purchases(table)
    assert fit.held == ("rates",)
    assert fit.log_likelihood > log_likelihood(table, np.array([0.012, 1.0356, 4960.0, 5040.0]), "mbg") + 0.5


def test_what_is_not_identified_is_held_and_named():
    fit = lv.fit_purchases(made(0.8, 10, 2000, 8000))
    assert fit.held == ("drop-out",)
    assert fit.a + fit.b == pytest.approx(10_000)
    assert fit.a / (fit.a + fit.b) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("amounts", [[5.0], [5.0, 5, 5], [0.0, 0, 0], [0.0, 4, 5], [1e6, 1e-3]])
def test_hard_amounts_give_numbers(amounts):
    table = pd.DataFrame({"purchases": np.arange(1, len(amounts) + 1), "amount": amounts, "count": 1})
    fit = lv.fit_spending(table)
    bought = np.r_[0, table["purchases"]]
    expected = fit.p * (fit.v + bought * np.r_[0, table["amount"]]) / (fit.p * bought + fit.q - 1)
    assert np.isfinite(expected).all()
    assert np.isfinite(fit.draws(20, 1)).all()
    assert fit.left_out == amounts.count(0.0)


def test_hard_contracts_give_numbers():
    for lost, kept in (([1], [0]), ([0], [1]), ([0, 0, 0], [0, 0, 9]), ([9, 0, 0], [0, 0, 0]), ([100] * 3, [0, 0, 700])):
        fit = lv.fit_renewals(pd.DataFrame({"renewal": range(1, len(lost) + 1), "lost": lost, "kept": kept}))
        assert np.isfinite(fit.parameters).all()
        assert np.isfinite(lv.share_kept(np.arange(100), fit.parameters)).all()
        assert np.isfinite(fit.draws(20, 1)).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(ParameterError, match="model 'pareto' is unknown; use mbg or bg"):
        lv.fit_purchases(customers(0, 0, 10), "pareto")
    for table in (customers([], [], []), customers(1, 11, 10), customers(0, 5, 10)):
        with pytest.raises(DataError):
            lv.fit_purchases(table)
    with pytest.raises(DataError, match="nothing to fit"):
        lv.fit_spending(pd.DataFrame({"purchases": [], "amount": [], "count": []}))
    with pytest.raises(DataError, match="nobody has come to a renewal"):
        lv.fit_renewals(pd.DataFrame({"renewal": [0], "lost": [0], "kept": [5]}))
    with pytest.raises(DataError, match="must be counts"):
        lv.fit_renewals(pd.DataFrame({"renewal": [1], "lost": [-1], "kept": [5]}))


# --- simulated truth ------------------------------------------------------------------------------------------------------------------------------

TRUTH = {"bg": np.array([0.6, 30.0, 0.8, 2.4]), "mbg": np.array([0.8, 30.0, 0.9, 1.8])}


@pytest.mark.parametrize("model", MODELS)
def test_the_truth_is_found(model):
    age = np.random.default_rng(3).integers(100, 700, 20_000).astype("float64")
    company = simulate_purchases(TRUTH[model], model, age, 180, 4)
    fit = lv.fit_purchases(company, model)
    for found, true, error in zip(fit.parameters, TRUTH[model], fit.errors.values(), strict=True):
        assert abs(found - true) < 3.5 * error
    expected = lv.expected_purchases(company, fit.parameters, model, 180)
    spread = np.sqrt(lv.variance_of_purchases(company, fit.parameters, model, 180).sum())
    assert abs(expected.sum() - company["later"].sum()) < 4 * spread
    top = company["repeats"] > 5
    assert expected[top].sum() == pytest.approx(company["later"][top].sum(), rel=0.08)


@pytest.mark.parametrize("model", MODELS)
def test_mean_and_variance_are_those_of_simulated_customers(model):
    parameters = np.array([1.2, 20.0, 0.7, 1.9])
    later = simulate_purchases(parameters, model, np.zeros(60_000), 90.0, 6)["later"]
    new = customers(0, 0, 0)
    mean, variance = lv.expected_purchases(new, parameters, model, 90.0)[0], lv.variance_of_purchases(new, parameters, model, 90.0)[0]
    assert abs(later.mean() - mean) < 4 * np.sqrt(variance / len(later))
    assert later.var() == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize("model", MODELS)
def test_draws_and_lengths_are_those_one_by_one(model):
    table = made(0.8, 10, 0.9, 2, model=model).assign(age=AGES)
    draws = np.array([[0.8, 10, 0.9, 2], [0.3, 50, 1.0, 0.2], [2.0, 8.0, 30.0, 90.0]])
    lengths = np.array([0.0, 30.0, 365.0])
    found = lv.expected_purchases(table, draws, model, lengths)
    assert found.shape == (3, 3, len(table))
    for place, draw in enumerate(draws):
        assert lv.probability_active(table, draws, model)[place] == pytest.approx(lv.probability_active(table, draw, model), rel=1e-13)
        assert lv.variance_of_purchases(table, draws, model, 30.0)[place] == pytest.approx(
            lv.variance_of_purchases(table, draw, model, 30.0), rel=1e-9
        )
        for other, length in enumerate(lengths):
            assert found[place, other] == pytest.approx(lv.expected_purchases(table, draw, model, length), rel=1e-11, abs=0)


def test_customers_are_taken_in_parts(monkeypatch):
    table = made(0.8, 10, 0.9, 2)
    rows = purchase_model.Histories(*purchase_model.checked(table), "bg")
    whole = rows.natural(0.7, 12.0, 0.8, 2.0)
    monkeypatch.setattr(purchase_model, "CHUNK", 7)
    for one, other in zip(whole, rows.natural(0.7, 12.0, 0.8, 2.0), strict=True):
        assert one == pytest.approx(other, rel=1e-12)
    assert len(rows.thinned(20).x) in range(20, 40)
    assert rows.thinned(20).count.sum() > rows.count.sum() / 20 - 20


def test_rows_and_counts_are_the_same_customers():
    company = simulate_purchases(TRUTH["mbg"], "mbg", np.repeat([50.0, 100.0], 150), 0, 5)
    company["recency"] = company["recency"].round(-1).clip(upper=company["age"])
    company["recency"] = company["recency"].where(company["repeats"] > 0, 0.0)
    counted = company.groupby(["repeats", "recency", "age"], as_index=False)["count"].sum()
    assert len(counted) < len(company)
    assert lv.fit_purchases(counted).parameters == pytest.approx(lv.fit_purchases(company).parameters, rel=1e-5)


def test_the_unit_of_time_does_not_matter():
    table = made(0.8, 10, 0.9, 2)
    days = lv.fit_purchases(table)
    weeks = lv.fit_purchases(table.assign(recency=table["recency"] / 7, age=table["age"] / 7))
    assert weeks.parameters * [1, 7, 1, 1] == pytest.approx(days.parameters, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_intervals_of_totals_cover(model):
    """90 % intervals of the purchases to come, over 400 companies."""
    rng = np.random.default_rng(11)
    hits = 0
    for company in range(400):
        age = rng.integers(60, 500, 600).astype("float64")
        table = simulate_purchases(TRUTH[model], model, age, 120, int(rng.integers(1 << 30)))
        fit = lv.fit_purchases(table, model)
        low, high = total_interval(table, fit, 120, company)
        hits += low <= table["later"].sum() <= high
    assert 0.85 <= hits / 400 <= 0.95
