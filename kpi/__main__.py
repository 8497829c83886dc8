"""The command line: arguments in, exit status out. What takes time to import is imported by the command that needs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import click

from kpi.errors import FaultError, KpiError, is_interruption

INTERRUPTED, TERMINATED = 130, 143
SYSTEMS = ("hubspot", "pipedrive", "salesforce")
WHERE = ("team", "owner", "source", "segment")
EXAMPLES = 3  # rows set aside that `kpi check` shows per reason

dataset_argument = click.argument("dataset", default="data/sample")
month_option = click.option("--month", default="", metavar="2026-10", help="Month to report; the last complete one by default.")
set_aside_option = click.option(
    "--max-set-aside",
    type=click.FloatRange(0, 100),
    default=5.0,
    show_default=True,
    metavar="PERCENT",
    help="Set-aside share that refuses the data.",
)
today_option = click.option(
    "--today",
    type=click.DateTime(["%Y-%m-%d"]),
    default=lambda: date.today().isoformat(),
    show_default="the day of the run",
    metavar="DATE",
    callback=lambda context, option, moment: moment.date(),
    help="Last day that can have happened, where kpi.toml has no exported_at.",
)


class Terminated(BaseException):
    """The process was asked to end."""


def _checked_where(context: click.Context, option: click.Parameter, text: str) -> str:
    import difflib

    for part in filter(None, text.split(",")):
        name = part.partition("=")[0].strip()
        if name not in WHERE:
            near = difflib.get_close_matches(name, WHERE, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.BadParameter(f"{name!r} is not one of {', '.join(WHERE)}{hint}")
    return text


where_option = click.option("--where", default="", metavar="team=Nord", callback=_checked_where, help="Only one team, owner, source or segment.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="sales-kpi-kit", prog_name="kpi")
def kpi() -> None:
    """Sales KPIs from your own data: how fast leads are answered, how opportunities move, which customers stay."""


@kpi.command()
@dataset_argument
@month_option
@click.option("--lang", type=click.Choice(["en", "fr"]), help="Language of the pages; the company's by default.")
@click.option("--out", default="reports", show_default=True, type=click.Path(path_type=Path), help="Folder to publish in.")
@where_option
@click.option("--each", type=click.Choice(["team"]), help="One report per team, each in a folder of its own.")
@click.option("--only", multiple=True, metavar="pipeline", help="Only this notebook; may be given several times.")
@click.option("--jobs", type=click.IntRange(1), help="Notebooks that run at the same time; two by default.")
@click.option("--force", is_flag=True, help="Make the month again although nothing changed.")
@today_option
@set_aside_option
def report(
    dataset: str,
    month: str,
    lang: str | None,
    out: Path,
    where: str,
    each: str | None,
    only: tuple[str, ...],
    jobs: int | None,
    force: bool,
    today: date,
    max_set_aside: float,
) -> None:
    """Publish the pages, numbers and lists of a month.

    DATASET is a folder with a kpi.toml; a relative one is also looked for upward from here.
    """
    from kpi.report.batch import report as publish

    published = publish(
        dataset,
        month=month,
        lang=lang or "",
        out=out,
        where=where,
        each=each or "",
        only=[name for text in only for name in text.split(",")],
        jobs=jobs or 0,
        force=force,
        today=today,
        progress="bars" if sys.stderr.isatty() else "lines",
        max_set_aside=max_set_aside / 100,
    )
    for page in published:
        click.echo(page)


@kpi.command()
@dataset_argument
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or for programs.")
@today_option
@set_aside_option
def check(dataset: str, form: str, today: date, max_set_aside: float) -> None:
    """Read everything; say what was found, used and set aside, and why.

    Ends with status 3 if a report from these data could not be trusted.
    """
    from kpi.dataset import load
    from kpi.report import manifest, quality

    def tell(read: Any) -> None:
        click.echo(manifest.dumps(quality.as_records(read, EXAMPLES)).rstrip("\n") if form == "json" else quality.as_text(read, EXAMPLES))

    try:
        data = load(dataset, today=today)
    except KpiError as error:
        if error.account is not None:
            tell(error.account)
        raise
    tell(data)
    quality.refuse(data, max_set_aside / 100, "")


@kpi.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Folder of the data set; made if there is none.")
@click.option("--format", "system", type=click.Choice(SYSTEMS), help="Which system wrote the files; told from their headers by default.")
@click.option("--exported-on", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Last day they tell about; by default their newest date.")
@click.option("--full", is_flag=True, help="They hold every record: what is missing was deleted.")
@today_option
@set_aside_option
def bring_in(
    files: tuple[Path, ...], to: Path, system: str | None, exported_on: datetime | None, full: bool, today: date, max_set_aside: float
) -> None:
    """Take CRM exports of one day into a data set, beside those of the months before.

    The originals are kept in its folder imports. What changed from one export to the next becomes the history of opportunities.
    """
    from kpi import importing

    day = exported_on.date() if exported_on else None
    outcome = importing.bring_in(files, to, system=system or "", exported_on=day, full=full, today=today, max_set_aside=max_set_aside / 100)
    click.echo(importing.as_text(outcome))


@kpi.command()
@dataset_argument
@month_option
@where_option
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True, help="How to write them.")
@today_option
@set_aside_option
def metrics(dataset: str, month: str, where: str, form: str, today: date, max_set_aside: float) -> None:
    """Print the numbers of a month, without notebooks."""
    from kpi import compute
    from kpi.dataset import load
    from kpi.dataset.segments import parse_where
    from kpi.periods import Month
    from kpi.report import quality
    from kpi.report.request import part

    asked = Month.parse(month) if month else None
    whole = load(dataset, today=today)
    quality.refuse(whole, max_set_aside / 100)
    data = part(whole, parse_where(where))
    asked = data.month(asked or "")
    table = compute.metrics(data, asked)
    if form == "csv":
        click.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        from kpi.presentation.language import Words
        from kpi.report import manifest

        found = manifest.metrics(table, compute.missing(data, asked), Words(data.company.language), data.company.currency)
        click.echo(manifest.dumps({"month": str(asked), **found}), nl=False)
    if faults := compute.faults(data):
        raise FaultError(f"missing by a fault of the kit: {', '.join(faults)}; kpi report keeps the trace in a file")


@kpi.command()
@dataset_argument
def lab(dataset: str) -> None:
    """Open JupyterLab on the notebooks."""
    from kpi.report.request import CHECKOUT
    from kpi.sources import read_config

    read_config(dataset)  # a misspelt data set is better told now than in a notebook
    os.chdir(CHECKOUT)
    click.echo(f"In a notebook's first cell: dataset = {dataset!r}", err=True)
    command = [sys.executable, "-m", "jupyter", "lab", "notebooks"]
    if os.name == "posix":
        os.execv(command[0], command)  # JupyterLab gets the signals itself
    sys.exit(subprocess.call(command))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its status."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; say on stderr, in a line, what went wrong."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return kpi.main(arguments, prog_name="kpi", standalone_mode=False) or 0
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except KpiError as error:
        for page in getattr(error, "pages", ()):
            click.echo(page)
        return _fail(str(error), error.status)
    except (KeyboardInterrupt, click.Abort, Terminated):
        return _stopped()
    except RuntimeError as error:
        if not is_interruption(error):
            raise
        return _stopped()
    except BrokenPipeError:  # the reader of our output, e.g. head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)


def _stopped() -> int:
    asked = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN  # as `_terminate` leaves it
    return _fail("asked to end, nothing half published", TERMINATED) if asked else _fail("interrupted, nothing half published", INTERRUPTED)


def _fail(message: str, status: int) -> int:
    click.echo(f"kpi: {' '.join(message.split())}", err=True)
    return status


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows cleans up
    raise Terminated


if __name__ == "__main__":
    main()
