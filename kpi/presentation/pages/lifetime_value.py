"""What customers have brought and are expected to bring, whether the model would have held, and which customers are the right ones."""

from __future__ import annotations

import pandas as pd

from kpi.catalog import CATALOG
from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayColumn, DisplayTable
from kpi.presentation.language import NAMES, Words
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import age, money, share, span

LEAST = CATALOG["retention.expected_value"].floor
FEW = 300
NOBODY_GONE = 0.99  # share still active from which the model sees no dropping out
GROUPS = NAMES["customer_groups"]
BANDS = NAMES["answers"]
REPEATS = NAMES["repeats"]
VALUE_GROUPS = NAMES["value_groups"]


def value_to_date(about: About, deciles: pd.DataFrame, best: pd.DataFrame, mean: pd.DataFrame) -> list:
    """Show who brings the value."""
    words, say, row = about.words, about.words.say, mean.iloc[0]
    measure = say("margin to date" if row["measure"] == "margin" else "revenue to date (no margin is recorded)")
    parts = {"mean": about.money(row["value"]), "measure": measure, "n": int(row["n"])}
    answer = say("A customer has brought {mean} on average, {measure} (n = {n}).", **parts)
    listed = about.named_table("best_customers", best)
    if deciles["n"].sum() < FLOOR:
        return [Answer(answer), listed]
    first = {"share": words.percent(deciles["value"].iloc[0]), "n": int(deciles["n"].iloc[0])}
    answer += " " + say("The best tenth, {n} customers, brought {share} of it.", **first)
    return [Answer(answer), SideBySide(about.named_table("deciles", deciles, measure=measure), listed)]


def value_groups(about: About, groups: pd.DataFrame, profitable: pd.DataFrame | None) -> list:
    """Show the customers by recency, frequency and value, and the most profitable ones."""
    words, listed = about.words, [] if profitable is None else [about.named_table("most_profitable", profitable)]
    if groups["n"].sum() < FLOOR:
        return listed
    shown = groups.sort_values(["amount", "group"], ascending=[False, True], ignore_index=True)
    shown["mean"] = (shown["amount"] / shown["n"]).where(shown["n"] > 0)
    shown["group"] = [words.translate(VALUE_GROUPS[group]) for group in shown["group"]]
    row = groups.iloc[0]
    cuts = {"days": words.days(row["recency_cut"]), "purchases": words.number(row["frequency_cut"]), "value": about.money(row["value_cut"])}
    left = about.named_table("value_groups", shown, **cuts)
    return [SideBySide(left, listed)] if listed else [left]


def expected_value(
    about: About, value: pd.DataFrame, check: pd.DataFrame, at_risk: pd.DataFrame, *, active: pd.DataFrame, tracking: pd.DataFrame
) -> list:
    """Say what customers are expected to bring, and beside it how well the model would have held."""
    if about.is_contractual:
        return []
    words, say, row = about.words, about.words.say, value.iloc[0]
    if pd.isna(row["value"]):
        return [Answer(say("Fewer than {least} customers have bought again: too few to say what they will bring.", least=LEAST))]
    measure = say("margin" if row["measure"] == "margin" else "revenue (no margin is recorded)")
    parts = {"measure": measure, "span": span(words, age(value)), "n": int(row["n"]), **money(words, row, about.currency)}
    bought = {name: words.number(row[name]) for name in ("purchases", "purchases_low", "purchases_high")}
    sentences = [
        say("On average a customer is expected to bring {value} of {measure} within {span} (90% interval of the mean {range}, n = {n}).", **parts),
        say("All together will buy {purchases} times (90% interval {purchases_low} to {purchases_high}).", **bought),
    ]
    if active["value"].iloc[0] > NOBODY_GONE:
        sentences.append(say("By the same model nobody has dropped out for good: the data are too short to tell, or customers do come back."))
    else:
        staying = share(words, active.iloc[0])
        sentences.append(say("By the same model {share} of all who ever bought are still customers ({range}).", **staying))
    if not row["by_customer"]:
        correlation = words.number(row["correlation"], 1)
        sentences.append(
            say("How often they buy and how much go together (rank correlation {number}): each purchase counts with the mean.", number=correlation)
        )
    if row["few"]:
        sentences.append(say("Caution: only {n} customers have bought again; the model rests on few.", n=int(row["n_events"])))
    answer = Answer(" ".join([*sentences, *_verdict(about, check)]))
    right = about.named_table("at_risk", at_risk)
    if check.empty:
        return [answer, right]
    shown = check.assign(repeats=[words.translate(REPEATS.get(number, number)) for number in check["repeats"]])
    return [answer, SideBySide(about.named_table("model_check", shown), _tracking(about, tracking)), right]


def contract_value(about: About, value: pd.DataFrame, check: pd.DataFrame) -> list:
    """Say what customers under contract are expected to bring, and beside it how well the model would have held."""
    if not about.is_contractual:
        return []
    words, say, row = about.words, about.words.say, value.iloc[0]
    if pd.isna(row["value"]):
        return [Answer(say("Fewer than {least} customers have come to a renewal: too few to say what they will bring.", least=LEAST))]
    parts = {"span": span(words, age(value)), "n": int(row["n"]), **money(words, row, about.currency)}
    sentences = [
        say(
            "On average a customer under contract is expected to bring {value} of revenue within {span} (90% interval of the mean {range}, n = {n}).",
            **parts,
        )
    ]
    if row["few"]:
        sentences.append(say("Caution: fewer than {few} customers have come to a renewal; the model rests on few.", few=FEW))
    answer = Answer(" ".join([*sentences, _contract_verdict(words, check)]))
    return [answer] if check.empty else [answer, SideBySide(_contract_tracking(about, check), _contract_check(about, check))]


def right_customers(about: About, values: dict[str, pd.DataFrame]) -> list:
    """Compare what the customers of each group, won in the last 24 months, have brought, will bring, and cost."""
    tables = [_worth(about, group, value) for group, value in values.items() if value["value"].notna().any()]
    return tables or [Answer(about.words.say("The data do not say where customers came from, or too few have bought again."))]


def _worth(about: About, group: str, value: pd.DataFrame) -> DisplayTable:
    words, say, name = about.words, about.words.say, about.words.translate(GROUPS[group])
    shown = value.sort_values(["value", group], ascending=[False, True], ignore_index=True)
    if group == "response":
        shown[group] = [words.translate(BANDS.get(band, band)) for band in shown[group]]
    columns = [
        DisplayColumn(group, name),
        DisplayColumn("n", say("Customers"), "number"),
        DisplayColumn("value", say("Expected\nwithin {span}", span=span(words, age(value))), "money", n="n"),
        DisplayColumn("low", say("90% interval"), "range", unit="money", n="n"),
        DisplayColumn("to_date", say("To date"), "money"),
        *([DisplayColumn("cost", say("Cost of\nwinning"), "money")] if shown["cost"].notna().any() else []),
        DisplayColumn("net", say("Net"), "money"),
    ]
    note = say("Mean per customer won in the last 24 months · net: to date and expected, less the cost · an association, not proof")
    return about.table(shown, columns, title=say("Which customers are worth most? {group}", group=name), note=note)


def _verdict(about: About, check: pd.DataFrame) -> list[str]:
    """Whether the model would have held: said in plain words, whichever way it went."""
    words, say = about.words, about.words.say
    if check.empty:
        return [say("The data are too short to check the model on the past.")]
    row = check[check["repeats"] == "all"].iloc[0]
    parts = {"days": words.days(int(row["horizon"])), "expected": words.number(row["value"]), "actual": words.number(row["actual"])}
    measure = say("margin" if row["measure"] == "margin" else "revenue")
    checked = [
        say("Checked on the last {days}: {expected} purchases expected, {actual} made.", **parts),
        say("{money} of {measure} expected, {brought} came.", measure=measure, **{name: about.money(row[name]) for name in ("money", "brought")}),
    ]
    if not row["low"] <= row["actual"] <= row["high"] or not row["money_low"] <= row["brought"] <= row["money_high"]:
        checked.append(say("That is outside its own 90% interval: the model has not held, and what it expects now is to be doubted."))
    if row["error"] < row["hiatus_error"]:
        return [*checked, say("Customer by customer it errs less than a plain rule (who has not paused too long goes on as before).")]
    return [*checked, say("It is no better, customer by customer, than a plain rule (who has not paused too long goes on as before).")]


def _tracking(about: About, tracking: pd.DataFrame) -> Figure:
    words, say, last = about.words, about.words.say, tracking.iloc[-1]
    labels, ylabel, xlabel = [say("model"), say("made"), say("plain rule")], say("purchases so far"), say("days since the model was fitted")
    drawn = charts.plot_tracking(tracking, words, labels=labels, ylabel=ylabel, xlabel=xlabel)
    parts = {name: words.number(last[name]) for name in ("value", "low", "high", "actual", "hiatus")}
    days = words.days(int(last["horizon"]))
    alt = say("After {days}: {value} purchases expected ({low} to {high}), {actual} made, {hiatus} by the plain rule.", days=days, **parts)
    note = say("All purchases of the n = {n} customers known when the model was fitted · band: 90% interval", n=int(last["n"]))
    return Figure(drawn, say("Purchases expected and made, day by day"), note, alt)


def _contract_tracking(about: About, check: pd.DataFrame) -> Figure:
    words, say, last = about.words, about.words.say, check.iloc[-1]
    labels = [say("model"), say("kept"), say("constant rate")]
    ylabel, xlabel = say("customers still under contract"), say("months since the model was fitted")
    drawn = charts.plot_tracking(check, words, labels=labels, rule="constant", ylabel=ylabel, xlabel=xlabel)
    ends = {name: words.number(last[name]) for name in ("value", "actual", "constant")}
    alt = say("After {months} months {value} customers expected, {actual} kept, {constant} by a constant rate.", months=int(last["horizon"]), **ends)
    note = say("Fitted on the first two thirds of the data · n = {n} then under contract · band: 90% interval", n=int(last["n"]))
    return Figure(drawn, say("Would the model have held?"), note, alt)


def _contract_verdict(words: Words, check: pd.DataFrame) -> str:
    if check.empty:
        return words.say("The data are too short to check the model on the past.")
    row = check.iloc[-1]
    parts = {"months": int(row["horizon"]), "expected": words.number(row["value"]), "actual": words.number(row["actual"])}
    checked = words.say("Checked on the last {months} months: {expected} customers expected to be kept, {actual} were.", **parts)
    if row["error"] < row["constant_error"]:
        return checked + " " + words.say("It errs less than one constant rate of leaving.")
    return checked + " " + words.say("It is no better than one constant rate of leaving.")


def _contract_check(about: About, check: pd.DataFrame) -> DisplayTable:
    step, first = -(-len(check) // 8), check.iloc[0]
    errors = {"model": about.words.percent(first["error"], 1), "rate": about.words.percent(first["constant_error"], 1)}
    return about.named_table("renewal_check", check.iloc[step - 1 :: step], **errors)
