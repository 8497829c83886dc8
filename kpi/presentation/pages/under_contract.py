"""The part of the page on retention about customers under contract: how long they stay, what they will bring."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn
from kpi.presentation.pages.about import About

LEAST = 50


def contract_survival(about: About, *, survival: pd.DataFrame, curve: pd.DataFrame, median: pd.DataFrame, renewals: pd.DataFrame) -> list:
    """Show how long customers stay under contract."""
    words, say, half = about.words, about.words.say, median.iloc[0]
    if curve.empty:
        return [Answer(say("No contract had begun by that date."))]
    last = curve.iloc[-1]
    parts = {"share": words.percent(last["survival"], 1), "range": words.percent_range(last["low"], last["high"], 1), "months": int(last["time"])}
    if pd.isna(half["value"]):
        answer = say("The median is not reached: after {months} months {share} of customers are still under contract ({range}).", **parts)
    else:
        ends = {"low": words.number(half["low"]), "high": words.number(half["high"])}
        answer = say("Half of the customers have left after {months} months (95% interval {low} to {high}).", months=int(half["value"]), **ends)
        if pd.isna(half["high"]):
            answer = say(
                "Half of the customers have left after {months} months (95% interval from {low} on).", months=int(half["value"]), low=ends["low"]
            )
    label = f"{words.percent(last['survival'])}\n({words.percent_range(last['low'], last['high'])})"
    more = {"ylabel": say("still under contract, share of customers"), "xlabel": say("months since the start")}
    drawn = charts.plot_survival(curve, words, label=label, **more)
    note = say(
        "n = {n} times under contract, {open} of them still running · band: 95% interval · dashed: one half",
        n=int(half["n"]),
        open=int(half["n_open"]),
    )
    columns = [
        DisplayColumn("horizon", say("Months"), "number"),
        DisplayColumn("value", say("Still there"), "percent", 1, n="n"),
        DisplayColumn("range", say("95% interval"), "range", 1, n="n"),
        DisplayColumn("n_events", say("Left\nby then"), "number"),
        DisplayColumn("n_open", say("Not seen\nso long"), "number"),
    ]
    told = say("Contracts that follow one another without a gap are one · –: nobody was seen so long")
    right = tables.table(survival, columns, words=words, title=say("How many are still under contract?"), note=told)
    figure = Figure(drawn, say("How long do customers stay under contract?"), note, answer)
    return [Answer(f"{answer} {_renewed(about, renewals.iloc[0])}"), SideBySide(figure, right)]


def _renewed(about: About, row: pd.Series) -> str:
    words, say = about.words, about.words.say
    if not row["n"]:
        return say("No contract ended in the last twelve months.")
    if not row["n_events"]:
        return say("None of the {n} contracts that ended in the last twelve months was followed by another.", n=int(row["n"]))
    parts = {"share": words.percent(row["value"]), "range": words.percent_range(row["low"], row["high"]), "n": int(row["n"])}
    return say("Of the {n} contracts that ended in the last twelve months {share} were renewed ({range}).", **parts)


def expected_value(about: About, value: pd.DataFrame, check: pd.DataFrame) -> list:
    """Say what customers under contract are expected to bring, and beside it how well the model would have held."""
    if not about.is_contractual:
        return []
    words, say, row = about.words, about.words.say, value.iloc[0]
    if pd.isna(row["value"]):
        return [Answer(say("Fewer than {least} customers have come to a renewal: too few to say what they will bring.", least=LEAST))]
    parts = {
        "value": words.money(row["value"], about.currency),
        "range": words.money_range(row["low"], row["high"], about.currency),
        "n": int(row["n"]),
    }
    told = say("A customer under contract is expected to bring {value} of revenue within a year (90% interval {range}, n = {n}).", **parts)
    sentences = [told, _verdict(about, check)]
    if row["few"]:
        sentences.insert(1, say("Caution: fewer than {few} customers have come to a renewal; the model rests on few.", few=300))
    if check.empty:
        return [Answer(" ".join(sentences))]
    labels = [say("model"), say("kept"), say("constant rate")]
    more = {"ylabel": say("customers still under contract"), "xlabel": say("months since the model was fitted")}
    drawn = charts.plot_tracking(check, words, labels=labels, rule="constant", **more)
    last = check.iloc[-1]
    told = {name: words.number(last[name]) for name in ("value", "actual", "constant")}
    alt = say("After {months} months {value} customers expected, {actual} kept, {constant} by a constant rate.", months=int(last["horizon"]), **told)
    note = say("Fitted on the first two thirds of the data · n = {n} then under contract · band: 90% interval", n=int(last["n"]))
    figure = Figure(drawn, say("Would the model have held?"), note, alt)
    return [Answer(" ".join(sentences)), SideBySide(figure, _check(about, check))]


def _verdict(about: About, check: pd.DataFrame) -> str:
    words, say = about.words, about.words.say
    if check.empty:
        return say("The data are too short to check the model on the past.")
    row = check.iloc[-1]
    parts = {"months": int(row["horizon"]), "expected": words.number(row["value"]), "actual": words.number(row["actual"])}
    told = say("Checked on the last {months} months: {expected} customers expected to be kept, {actual} were.", **parts)
    if row["error"] < row["constant_error"]:
        return told + " " + say("It errs less than one constant rate of leaving.")
    return told + " " + say("It is no better than one constant rate of leaving.")


def _check(about: About, check: pd.DataFrame):
    words, say = about.words, about.words.say
    step = -(-len(check) // 8)
    shown = check.iloc[step - 1 :: step]
    columns = [
        DisplayColumn("horizon", say("Months"), "number"),
        DisplayColumn("n", say("Customers"), "number"),
        DisplayColumn("value", say("Expected"), "number"),
        DisplayColumn("range", say("90% interval"), "range", unit="number"),
        DisplayColumn("actual", say("Kept"), "number"),
        DisplayColumn("constant", say("Constant\nrate"), "number"),
    ]
    errors = {"model": words.percent(check["error"].iloc[0], 1), "rate": words.percent(check["constant_error"].iloc[0], 1)}
    note = say("Error of the share kept, root mean square over all renewals: model {model}, constant rate {rate}", **errors)
    return tables.table(shown, columns, words=words, title=say("Customers expected to be kept, and kept"), note=note)
