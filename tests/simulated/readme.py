"""README.md of a simulated company: that it is simulated, how it is written, and the truth in tables."""

from __future__ import annotations

from tests.simulated.company import Company

SHAPES = {
    "french": "Semicolons, decimal commas, UTF-8 with a byte order mark: what Excel set to French opens by a double click with its accents right.\n"
    "Times are local ({zone}), written `2026-10-12 09:03:12`; yes and no are `oui` and `non`.",
    "iso": "Commas, decimal points, UTF-8; times are local ({zone}) with their UTC offset, written `2026-10-12T09:03:12+02:00`.",
    "us": "Commas, decimal points, UTF-8; times are local ({zone}) with the month first, written `10/12/2026 09:03:12`.",
}
FILES = {
    "leads": "inquiries",
    "lead_scores": "score history of the leads that raised an alert",
    "activities": "calls, e-mails, meetings, automated ones too",
    "opportunities": "deals as known at the export",
    "opportunity_history": "every change of stage, amount, expected close, owner",
    "customers": "customers, with those of before the first month",
    "orders": "first orders (the won deals), repeat orders, refunds (negative, pointing at their order)",
    "contracts": "one row per term; `end_on` is the first day not covered, empty while the term runs",
    "stages": "order of the stages",
    "owners": "sales people and teams",
    "targets": "won value to reach, per month and team",
}
WHAT = {
    "leads": "arrivals x {factor:g}",
    "response": "delay of the first attempt x {factor:g}, odds of never x {never:g}",
    "new_deals": "steps forward of the deals created then x {factor:g}",
    "all_deals": "steps forward of all open deals x {factor:g}",
}


def readme(simulation, dialect: str) -> str:
    """Text of README.md."""
    company, truth = simulation.company, simulation.truth
    parts = [
        _head(company, dialect),
        _table(["file", "rows", "what"], [[f"{name}.csv", f"{len(table):,}", FILES[name]] for name, table in simulation.tables.items()]),
        "## What is true\nFrom the parameters, by formula or from a large second population, not from these files; `truth.json` has more.\n"
        "The files scatter around it. Nothing is cut short by the export: what comes after it is simply not in the files.",
        _planted(company, truth),
        *_response(company, truth),
        *_pipeline(company, truth),
        *_customers(company, truth),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(company: Company, dialect: str) -> str:
    return f"""# {company.name} (simulated)
Nobody and nothing here exists: `tests/simulated` made these files, seed {company.seed}, all parameters under `company` in truth.json.
{company.leads:,} leads, {company.start} to {company.end}, exported at {company.exported_on:%Y-%m-%d} 00:00 ({company.timezone}):
events up to the evening before.
Deals start from nothing in {company.start}, so wins need some three months to reach their level;
customers and their orders go back {company.history_months} months further.

{SHAPES[dialect].format(zone=company.timezone)}

Drawn with numpy's PCG64, of which the same version gives the same numbers everywhere; stamps are cut to seconds and amounts
rounded to cents, so the files are the same to the byte on every system. Holidays come from the package `holidays`."""


def _planted(company: Company, truth: dict) -> str:
    if not company.shocks:
        return "No change was planted: every month follows the same rules, but for season and growth."
    rows = []
    for shock in company.shocks:
        rows.append([f"{shock.start} to {shock.end}, excluded", shock.team or "all", WHAT[shock.what].format(factor=shock.factor, never=shock.never)])
    text = "Planted changes; everything else follows the same rules all the time, but for season and growth:\n\n" + _table(
        ["when", "team", "what"], rows
    )
    months = sorted({shock.start[:7] for shock in company.shocks if shock.what == "response"})
    usual = truth["response"][0]
    for month in months:
        here = [row for row in truth["response_by_month"] if row["month"] == month]
        said = ", ".join(f"{row['team']} {row['within_3600']:.1%}" for row in here)
        text += f"\n\nAnswered within the hour, expected in {month}: {said}; usual, all: {usual['within_3600']:.1%}."
    return text


def _response(company: Company, truth: dict) -> list[str]:
    rows = [
        [row["source"], *(f"{row[f'within_{limit}']:.1%}" for limit in (300, 900, 3600, 86_400)), _minutes(row["median"]), f"{row['never']:.1%}"]
        for row in truth["response"]
    ]
    heads = ["source", "within 5 min", "15 min", "1 h", "24 h", "median, min", "never"]
    first = "### First attempt to reach a lead\nWall-clock time, all leads in the denominator, planted changes left out.\n\n" + _table(heads, rows)
    rows = [[row["band"], f"{row['share']:.1%}", f"{row['observed']:.1%}", f"{row['causal']:.1%}"] for row in truth["response_curve"]]
    second = (
        "### Does answering sooner make opportunities?\nYes, but less than it looks: leads of high intent are answered sooner and convert more.\n"
        "Leads declined by a machine are left out. Nurturing and alerts have no effect at all.\n\n"
        f"- The log-odds change by {company.delay_effect:g} per unit of ln(1 + hours / 0.1) of delay, by {company.intent_effect:g} per standard "
        f"deviation of hidden intent,\n  by {company.unanswered_effect:g} for a lead that is never answered.\n"
        f"- Intent also shortens the log delay, by {company.intent_pace:g} per standard deviation.\n\n"
        + _table(["first attempt", "share of leads", "opportunity, as observed", "opportunity, had all leads been answered so"], rows)
    )
    rows = [[row["source"], *(f"{row[name]:.1%}" for name in ("by_30", "by_90", "ever"))] for row in truth["lead_to_opportunity"]]
    return [first, second, "### Leads that become opportunities\n\n" + _table(["source", "by 30 days", "by 90 days", "ever"], rows)]


def _pipeline(company: Company, truth: dict) -> list[str]:
    rows = []
    for name in dict.fromkeys(row["source"] for row in truth["won"]["usual"]):
        here = {row["days"]: row for row in truth["won"]["usual"] if row["source"] == name}
        rows.append([name, *(f"{here[days]['won']:.1%} / {here[days]['lost']:.1%}" for days in (30, 90, 180, 365))])
    first = "### Opportunities won / lost, by days since creation\n\n" + _table(["source", "30 days", "90 days", "180 days", "365 days"], rows)
    rows = [[row["stage"], f"{row['goes_on']:.1%}", row["median"], row["p90"]] for row in truth["stages"]]
    heads = ["stage", "go on within 180 days", "half of the visits over, days", "nine in ten, days"]
    return [first, "### What becomes of deals in a stage\n\n" + _table(heads, rows)]


def _customers(company: Company, truth: dict) -> list[str]:
    if company.contractual:
        model = f"Shifted beta-geometric, alpha {company.churn_a}, beta {company.churn_b}, terms of {company.renewal_months} months."
        head = f"### Contracts renewed\n{model}\n\n"
        kept = head + _table(["renewals", "still there"], [[n, f"{share:.1%}"] for n, share in truth["contracts"]["staying"].items()])
    else:
        buying = truth["customers"]
        rows = [[days, f"{orders:.2f}", f"{buying['still_there'][days]:.1%}"] for days, orders in buying["expected_orders"].items()]
        model = f"MBG/NBD with r {company.buy_r}, alpha {company.buy_alpha:g} days, a {company.drop_a}, b {company.drop_b}"
        spend = f"Gamma-Gamma with p {company.spend_p:g}, q {company.spend_q:g}, gamma {company.spend_gamma:g}, times the source's factor"
        kept = (
            f"### Customers\nRepeat orders: {model};\ntheir values: {spend}.\n"
            f"{company.refunds:.0%} of the orders are refunded, four in ten of them in full.\n\n"
            + _table(["days since the first order", "repeat orders expected", "still a customer"], rows)
            + "\n\n"
            + _table(["source", "mean repeat order"], [[name, f"{value:,.0f}"] for name, value in buying["mean_order"].items()])
        )
    rows = [[row["month"], row["start"], row["new"], row["left"], row["end"]] for row in truth["net_growth"][-13:]]
    account = "### Customers, the hidden account\nWho had truly left is hidden from the files; last 13 months, start + new - left = end.\n\n"
    return [kept, account + _table(["month", "start", "new", "left", "end"], rows)]


def _minutes(seconds: int | None) -> str:
    return "not reached" if seconds is None else f"{seconds / 60:.0f}"


def _table(heads: list[str], rows: list[list]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])
