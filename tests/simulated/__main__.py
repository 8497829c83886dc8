"""A company whose truth is known, as a data set: ``python -m tests.simulated --to DIR --leads 6000``; ``--sample`` writes data/sample anew."""

from __future__ import annotations

from pathlib import Path

import click

from kpi.errors import KpiError
from tests.simulated import SAMPLE, write_company, write_sample


@click.command()
@click.option("--to", type=click.Path(path_type=Path), help="Folder to write the data set to, new or empty.")
@click.option("--sample", is_flag=True, help="Write data/sample anew instead, byte for byte as it is committed.")
@click.option("--leads", default=6000, show_default=True, type=click.IntRange(1), help="How many leads.")
@click.option("--seed", default=1, show_default=True, help="Another seed, another company.")
@click.option("--start", default="2023-11", show_default=True, metavar="MONTH", help="First month.")
@click.option("--end", default="2026-10", show_default=True, metavar="MONTH", help="Last month.")
@click.pass_context
def main(context: click.Context, to: Path | None, sample: bool, leads: int, seed: int, start: str, end: str) -> None:
    """Make a company up, with the truth about it written down beside."""
    given = [name for name in ("to", "leads", "seed", "start", "end") if context.get_parameter_source(name).name == "COMMANDLINE"]
    if sample == (to is not None) or (sample and given):
        raise click.UsageError("give either --to DIR, with --leads, --seed, --start and --end as you like, or --sample alone")
    try:
        if sample:
            changed = write_sample()
            click.echo("\n".join(map(str, changed)) if changed else f"{SAMPLE}: written, every file as it was")
        else:
            write_company(to, leads, seed, start, end)
            click.echo(to)
    except KpiError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
