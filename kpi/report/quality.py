"""What of the data was used and what was set aside, and whether a report made of the rest could be trusted."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from kpi import facts
from kpi.dataset import Dataset
from kpi.errors import DataError
from kpi.presentation.language import missing
from kpi.sources import Reading
from kpi.sources.cells import printable
from kpi.sources.checks import rows, rules

MAX_SET_ASIDE = 0.05  # share of a table's rows
ALL = "all of it"
NEEDS = tomllib.loads(Path(__file__).with_name("needs.toml").read_text("utf-8"))["needs"]  # report, table, column, what is lacking without
_NO_TIME = "delays under a day"
_HEADS = {"set_aside": "set aside"}


def tables(data: Dataset | Reading) -> pd.DataFrame:
    """Sum the ledger up, a row per table."""
    ledger = data.row_ledger
    filtered = ledger["set_aside"].where(ledger["reason"].isin(rules.NO_RECORDS), 0)
    split = ledger.assign(filtered=filtered, set_aside=ledger["set_aside"] - filtered)
    total = split.groupby("table", sort=False, as_index=False)[["used", "set_aside", "filtered"]].sum()
    read = total["used"] + total["set_aside"]
    total["found"] = read + total["filtered"]
    total["share"] = (total["set_aside"] / read.where(read > 0)).astype("float64")
    return total[["table", "found", "filtered", "used", "set_aside", "share"]]


def lacking(data: Dataset) -> pd.DataFrame:
    """List what each report will go without, and why."""
    unused = "orders" if data.settings.get("retention", {}).get("contractual") else "contracts"
    gone = [need for need in NEEDS if need[1] != unused and not data.has(need[1], need[2])]
    rows = [(report, what, f"{table} lacks {column}" if data.has(table) else f"no table {table}") for report, table, column, what in gone]
    days = [(table, column) for table, column in (("leads", "created_at"), ("activities", "at")) if data.precision.get((table, column)) == "day"]
    rows += [("response_time", _NO_TIME, f"{table} {column} has no time of day") for table, column in days]
    begun = [(table, data.recorded_from(table)) for table in ("opportunities", "activities")]
    rows += [("pipeline", "leads' outcomes before that day", f"{table} are recorded from {since} on") for table, since in begun if since is not None]
    if (told := facts.told_from(data)) is not None:
        rows.append(("pipeline", "changes of deals before that day", f"opportunity_history begins with the export of {told}"))
    whole = {report: because for report, what, because in reversed(rows) if what == ALL}
    rows = [row for row in rows if row[0] not in whole or (row[1] == ALL and row[2] == whole[row[0]])]
    return pd.DataFrame(rows, columns=["report", "lacks", "because"])


def refuse(data: Dataset, limit: float = MAX_SET_ASIDE, hint: str = "; see them with: kpi check FOLDER") -> None:
    """Refuse data of which too much had to be set aside."""
    told = [
        rows.complaint(data.row_ledger, data.set_aside, table, data.limits.get(table, limit)) for table in dict.fromkeys(data.row_ledger["table"])
    ]
    if any(told):
        raise DataError("; ".join(filter(None, told)) + hint)


def listing(data: Dataset | Reading, examples: int) -> pd.DataFrame:
    """List why rows were set aside, with some of them."""
    causes = data.row_ledger[data.row_ledger["reason"] != ""]
    found = [rows.examples(data.set_aside, row.table, row.reason, examples) for row in causes.itertuples()]
    listed = pd.DataFrame({"table": causes["table"], "reason": causes["reason"], "rows": causes["set_aside"]})
    if causes["amount"].sum():
        used = data.row_ledger[data.row_ledger["reason"] == ""].set_index("table")["amount"]
        texts = [f"{row.amount:,.0f} beside {used[row.table] or 0:,.0f} used" if row.amount > 0 else "" for row in causes.itertuples()]
        listed["amount"] = texts
    return listed.assign(examples=found).reset_index(drop=True)


def as_text(data: Dataset | Reading, examples: int) -> str:
    """Account for a data set, or for what could be read of one that is refused, to be read in a terminal."""
    listed, parts, summed = listing(data, examples), ["Read before the data set was refused"], tables(data)
    if isinstance(data, Dataset):
        parts = [f"{data.company.name}: complete months up to {data.last_month()}, data until {data.ends_at:%Y-%m-%d %H:%M} UTC"]
    summed["share"] = [f"{share:.1%}" if share == share else "" for share in summed["share"]]
    parts += [aligned(summed.rename(columns=_HEADS))] if len(summed) else ["no table could be read"]
    if len(listed):
        listed["examples"] = [", ".join(found) for found in listed["examples"]]
        parts.append("Set aside\n" + aligned(listed))
    if len(data.flags):
        parts.append("Used as they are, or mended\n" + aligned(_shortened(data.flags)))
    if isinstance(data, Dataset) and len(without := lacking(data)):
        parts.append("What the reports will lack\n" + aligned(without))
    if len(data.links):
        parts.append("Links: rows, those that name a record, those of these that find it\n" + aligned(data.links))
    if len(data.decisions):
        parts.append("Decided from the data\n" + aligned(data.decisions))
    return "\n\n".join(parts)


def as_records(data: Dataset | Reading, examples: int) -> dict[str, Any]:
    """Account for a data set, or for what could be read of one that is refused, to be read by a program."""
    records, head = {"tables": tables(data), "set_aside": listing(data, examples), "flags": data.flags, "links": data.links}, {}
    if isinstance(data, Dataset):
        records["lacking"] = lacking(data)
        head = {"company": data.company.name, "last_month": str(data.last_month()), "data_end": data.ends_at}
    records["decisions"] = data.decisions
    return {
        **head,
        **{name: table.astype(object).to_dict("records") for name, table in records.items()},
        "inputs": [asdict(item) for item in data.inputs],
    }


def _shortened(flags: pd.DataFrame, most: int = 5) -> pd.DataFrame:
    """Flags for people: of many spellings of one column only the first few, the others summed up."""
    place = flags.groupby(["table", "flag"], sort=False).cumcount()
    shown = flags[place < most][["table", "flag", "rule", "rows", "example"]].astype({"rows": "int64"})
    rest = flags[place >= most].groupby(["table", "flag", "rule"], sort=False, as_index=False)["rows"].agg(["sum", "size"])
    more = rest.assign(rows=rest["sum"], example=[f"and {n} more" for n in rest["size"]])[list(shown.columns)] if len(rest) else shown.head(0)
    return pd.concat([shown, more]).sort_values("table", kind="stable", ignore_index=True) if len(more) else shown


def aligned(table: pd.DataFrame) -> str:
    """Write a table in columns: numbers to the right, text to the left."""
    right = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    cells = [list(table.columns), *([_cell(value) for value in row] for row in table.itertuples(index=False, name=None))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(right))]
    lines = [[text.rjust(width) if end else text.ljust(width) for text, width, end in zip(row, widths, right, strict=True)] for row in cells]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _cell(value: object) -> str:
    return "" if missing(value) else printable(str(value))
