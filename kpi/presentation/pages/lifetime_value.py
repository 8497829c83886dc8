"""The part of the page on retention about what customers are expected to bring."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn
from kpi.presentation.pages.about import About
from kpi.schema import N_

LEAST = 50
NOBODY_GONE = 0.99  # share still active from which the model sees no dropping out
GROUPS = {
    "source": N_("Source"),
    "segment": N_("Segment"),
    "owner": N_("Owner"),
    "product": N_("First product"),
    "response": N_("First answer"),
}
BANDS = {"within 1 h": N_("within 1 h"), "1 to 24 h": N_("1 to 24 h"), "later": N_("later"), "not answered": N_("not answered")}


def expected_value(
    about: About, value: pd.DataFrame, check: pd.DataFrame, at_risk: pd.DataFrame, *, active: pd.DataFrame, tracking: pd.DataFrame
) -> list:
    """Say what customers are expected to bring, and beside it how well the model would have held."""
    words, say, row = about.words, about.words.say, value.iloc[0]
    if about.is_contractual:
        return []
    if pd.isna(row["value"]):
        reason = say("Fewer than {least} customers have bought again: too few to say what they will bring.", least=LEAST)
        return [Answer(reason)]
    parts = {
        "value": words.money(row["value"], about.currency),
        "range": words.money_range(row["low"], row["high"], about.currency),
        "measure": say("margin") if row["measure"] == "margin" else say("revenue (no margin is recorded)"),
        "n": int(row["n"]),
    }
    sentences = [say("A customer is expected to bring {value} of {measure} within a year (90% interval {range}, n = {n}).", **parts)]
    bought = {name: words.number(row[name]) for name in ("purchases", "purchases_low", "purchases_high")}
    sentences.append(say("All together will buy {purchases} times (90% interval {purchases_low} to {purchases_high}).", **bought))
    alive = active.iloc[0]
    shares = {"share": words.percent(alive["value"]), "range": words.percent_range(alive["low"], alive["high"])}
    if alive["value"] > NOBODY_GONE:
        sentences.append(say("By the same model nobody has dropped out for good: the data are too short to tell, or customers do come back."))
    else:
        sentences.append(say("By the same model {share} of all who ever bought are still customers ({range}).", **shares))
    if row["few"]:
        sentences.append(say("Caution: only {n} customers have bought again; the model rests on few.", n=int(row["n_events"])))
    sentences.append(_verdict(words, check))
    listed = [
        DisplayColumn("customer_id", say("Customer")),
        DisplayColumn("at_stake", say("At stake"), "money"),
        DisplayColumn("active_before", say("Active\n90 days ago"), "percent"),
        DisplayColumn("active", say("Active\nnow"), "percent"),
        DisplayColumn("last_on", say("Last"), "date"),
    ]
    note = say("Active: probability of not having dropped out · at stake: what they would bring within a year, times the fall of that probability")
    right = tables.table(at_risk, listed, words=words, title=say("Customers at risk"), note=note, whole="lists/at_risk.csv", currency=about.currency)
    if check.empty:
        return [Answer(" ".join(sentences)), right]
    return [Answer(" ".join(sentences)), SideBySide(_calibration(about, check), _tracking(about, tracking)), SideBySide(_check(about, check), right)]


def right_customers(about: About, values: dict[str, pd.DataFrame]) -> list:
    """Compare what the customers of each group, won in the last 24 months, have brought, will bring, and cost."""
    blocks = [block for group, value in values.items() for block in _group(about, group, value)]
    return blocks or [Answer(about.words.say("The data do not say where customers came from, or too few have bought again."))]


def _group(about: About, group: str, value: pd.DataFrame) -> list:
    words, say = about.words, about.words.say
    if value["value"].isna().all():
        return []
    name = words.translate(GROUPS[group])
    shown = value.sort_values(["value", group], ascending=[False, True], ignore_index=True)
    if group == "response":
        shown[group] = [words.translate(BANDS.get(band, band)) for band in shown[group]]
    columns = [
        DisplayColumn(group, name),
        DisplayColumn("n", say("Customers"), "number"),
        DisplayColumn("value", say("Expected\nwithin a year"), "money", n="n"),
        DisplayColumn("low", say("90% interval"), "range", unit="money", n="n"),
        DisplayColumn("to_date", say("To date"), "money"),
        *([DisplayColumn("cost", say("Cost of\nwinning"), "money")] if shown["cost"].notna().any() else []),
        DisplayColumn("net", say("Net"), "money"),
    ]
    note = say("Mean per customer won in the last 24 months · net: to date and expected, less the cost · an association, not proof")
    title = say("Which customers are worth most? {group}", group=name)
    return [tables.table(shown, columns, words=words, title=title, note=note, currency=about.currency)]


def _verdict(words, check: pd.DataFrame) -> str:
    """Whether the model would have held: said in plain words, whichever way it went."""
    if check.empty:
        return words.say("The data are too short to check the model on the past.")
    row = check[check["repeats"] == "all"].iloc[0]
    parts = {"days": words.days(int(row["horizon"])), "expected": words.number(row["value"]), "actual": words.number(row["actual"])}
    told = words.say("Checked on the last {days}: {expected} purchases expected, {actual} made.", **parts)
    if row["error"] < row["hiatus_error"]:
        return told + " " + words.say("Customer by customer it errs less than a plain rule (who has not paused too long goes on as before).")
    return told + " " + words.say("It is no better, customer by customer, than a plain rule (who has not paused too long goes on as before).")


def _named(words, repeats: pd.Series) -> list[str]:
    return [words.say("All") if text == "all" else words.say("6 +") if text == "6" else text for text in repeats]


def _calibration(about: About, check: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    groups = check[check["repeats"] != "all"]
    labels = [say("model"), say("made"), say("plain rule")]
    more = {"ylabel": say("purchases per customer"), "xlabel": say("repeat purchases before")}
    drawn = charts.plot_calibration(groups, _named(words, groups["repeats"]), words, labels=labels, **more)
    told = words.listing(
        say("{repeats}: {value} expected, {actual} made", repeats=name, value=words.number(row.value), actual=words.number(row.actual))
        for name, row in zip(_named(words, groups["repeats"]), groups.itertuples(), strict=True)
    )
    alt = say("Purchases by repeat purchases before: {groups}.", groups=told)
    days = words.days(int(check["horizon"].iloc[0]))
    note = say("Purchases per customer in the {days} held out · ring: model, dot: made, line: plain rule · n in the table", days=days)
    return Figure(drawn, say("Right for frequent and for rare buyers?"), note, alt)


def _tracking(about: About, tracking: pd.DataFrame) -> Figure:
    words, say, last = about.words, about.words.say, tracking.iloc[-1]
    labels = [say("model"), say("made"), say("plain rule")]
    more = {"ylabel": say("purchases so far"), "xlabel": say("days since the model was fitted")}
    drawn = charts.plot_tracking(tracking, words, labels=labels, **more)
    parts = {name: words.number(last[name]) for name in ("value", "low", "high", "actual", "hiatus")}
    days = words.days(int(last["horizon"]))
    alt = say("After {days}: {value} purchases expected ({low} to {high}), {actual} made, {hiatus} by the plain rule.", days=days, **parts)
    note = say("All purchases of the n = {n} customers known when the model was fitted · band: 90% interval", n=int(last["n"]))
    return Figure(drawn, say("Purchases expected and made, day by day"), note, alt)


def _check(about: About, check: pd.DataFrame):
    words, say = about.words, about.words.say
    shown = check.assign(repeats=_named(words, check["repeats"]))
    columns = [
        DisplayColumn("repeats", say("Bought\nbefore")),
        DisplayColumn("n", say("Customers"), "number"),
        DisplayColumn("value", say("Expected"), "number"),
        DisplayColumn("actual", say("Made"), "number"),
        DisplayColumn("hiatus", say("Plain rule"), "number"),
        DisplayColumn("error", say("Error,\nmodel"), "number", 2),
        DisplayColumn("hiatus_error", say("Error,\nrule"), "number", 2),
    ]
    note = say("By repeat purchases in the first two thirds of the data, on which the model was fitted · error: root mean square per customer")
    return tables.table(shown, columns, words=words, title=say("Would the model have held?"), note=note)
