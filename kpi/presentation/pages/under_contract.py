"""Customers under contract: how long they stay, what they will bring."""

from __future__ import annotations

import pandas as pd

from kpi.catalog import CATALOG
from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable, columns_of
from kpi.presentation.language import Words
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import age, money, share, span

LEAST = CATALOG["retention.expected_value"].floor
FEW = 300


def contract_survival(about: About, *, survival: pd.DataFrame, curve: pd.DataFrame, median: pd.DataFrame, renewals: pd.DataFrame) -> list:
    """Show how long customers stay under contract."""
    words, say, half = about.words, about.words.say, median.iloc[0]
    if curve.empty:
        return [Answer(say("No contract had begun by that date."))]
    last = curve.iloc[-1]
    low, high = words.number(half["low"]), words.number(half["high"])
    if pd.isna(half["value"]):
        answer = say(
            "The median is not reached: after {months} months {share} of customers are still under contract ({range}).",
            months=int(last["time"]),
            share=words.percent(last["survival"], 1),
            range=words.percent_range(last["low"], last["high"], 1),
        )
    elif pd.isna(half["high"]):
        answer = say("Half of the customers have left after {months} months (95% interval from {low} on).", months=int(half["value"]), low=low)
    else:
        ends = {"months": int(half["value"]), "low": low, "high": high}
        answer = say("Half of the customers have left after {months} months (95% interval {low} to {high}).", **ends)
    label = f"{words.percent(last['survival'])}\n({words.percent_range(last['low'], last['high'])})"
    ylabel, xlabel = say("still under contract, share of customers"), say("months since the start")
    drawn = charts.plot_survival(curve, words, label=label, ylabel=ylabel, xlabel=xlabel)
    note = say(
        "n = {n} times under contract, {open} of them still running · band: 95% interval · dashed: one half",
        n=int(half["n"]),
        open=int(half["n_open"]),
    )
    figure = Figure(drawn, say("How long do customers stay under contract?"), note, answer)
    return [Answer(f"{answer} {_renewed(words, renewals.iloc[0])}"), SideBySide(figure, _still_there(about, survival))]


def _still_there(about: About, survival: pd.DataFrame) -> DisplayTable:
    say = about.words.say
    columns = [
        DisplayColumn("horizon", say("Months"), "number"),
        DisplayColumn("value", say("Still there"), "percent", 1, n="n"),
        DisplayColumn("range", say("95% interval"), "range", 1, n="n"),
        *columns_of("number", {"n_events": say("Left\nby then"), "n_open": say("Not seen\nso long")}),
    ]
    note = say("Contracts that follow one another without a gap are one · –: nobody was seen so long")
    return about.table(survival, columns, title=say("How many are still under contract?"), note=note)


def _renewed(words: Words, row: pd.Series) -> str:
    if not row["n"]:
        return words.say("No contract ended in the last twelve months.")
    if not row["n_events"]:
        return words.say("None of the {n} contracts that ended in the last twelve months was followed by another.", n=int(row["n"]))
    parts = {"n": int(row["n"]), **share(words, row)}
    return words.say("Of the {n} contracts that ended in the last twelve months {share} were renewed ({range}).", **parts)


def expected_value(about: About, value: pd.DataFrame, check: pd.DataFrame) -> list:
    """Say what customers under contract are expected to bring, and beside it how well the model would have held."""
    if not about.is_contractual:
        return []
    words, say, row = about.words, about.words.say, value.iloc[0]
    if pd.isna(row["value"]):
        return [Answer(say("Fewer than {least} customers have come to a renewal: too few to say what they will bring.", least=LEAST))]
    parts = {"span": span(words, age(value)), "n": int(row["n"]), **money(words, row, about.currency)}
    sentences = [say("A customer under contract is expected to bring {value} of revenue within {span} (90% interval {range}, n = {n}).", **parts)]
    if row["few"]:
        sentences.append(say("Caution: fewer than {few} customers have come to a renewal; the model rests on few.", few=FEW))
    answer = Answer(" ".join([*sentences, _verdict(words, check)]))
    return [answer] if check.empty else [answer, SideBySide(_tracking(about, check), _check(about, check))]


def _tracking(about: About, check: pd.DataFrame) -> Figure:
    words, say, last = about.words, about.words.say, check.iloc[-1]
    labels = [say("model"), say("kept"), say("constant rate")]
    ylabel, xlabel = say("customers still under contract"), say("months since the model was fitted")
    drawn = charts.plot_tracking(check, words, labels=labels, rule="constant", ylabel=ylabel, xlabel=xlabel)
    ends = {name: words.number(last[name]) for name in ("value", "actual", "constant")}
    alt = say("After {months} months {value} customers expected, {actual} kept, {constant} by a constant rate.", months=int(last["horizon"]), **ends)
    note = say("Fitted on the first two thirds of the data · n = {n} then under contract · band: 90% interval", n=int(last["n"]))
    return Figure(drawn, say("Would the model have held?"), note, alt)


def _verdict(words: Words, check: pd.DataFrame) -> str:
    if check.empty:
        return words.say("The data are too short to check the model on the past.")
    row = check.iloc[-1]
    parts = {"months": int(row["horizon"]), "expected": words.number(row["value"]), "actual": words.number(row["actual"])}
    checked = words.say("Checked on the last {months} months: {expected} customers expected to be kept, {actual} were.", **parts)
    if row["error"] < row["constant_error"]:
        return checked + " " + words.say("It errs less than one constant rate of leaving.")
    return checked + " " + words.say("It is no better than one constant rate of leaving.")


def _check(about: About, check: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    step = -(-len(check) // 8)
    columns = [
        *columns_of("number", {"horizon": say("Months"), "n": say("Customers"), "value": say("Expected")}),
        DisplayColumn("range", say("90% interval"), "range", unit="number"),
        *columns_of("number", {"actual": say("Kept"), "constant": say("Constant\nrate")}),
    ]
    errors = {"model": words.percent(check["error"].iloc[0], 1), "rate": words.percent(check["constant_error"].iloc[0], 1)}
    note = say("Error of the share kept, root mean square over all renewals: model {model}, constant rate {rate}", **errors)
    return about.table(check.iloc[step - 1 :: step], columns, title=say("Customers expected to be kept, and kept"), note=note)
