"""A company whose truth is known, written as a data set: ``python -m tests.simulated --to DIR --leads 6000``."""

from __future__ import annotations

from pathlib import Path

import click

from tests.simulated import write_company


@click.command()
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Folder to write the data set to.")
@click.option("--leads", default=6000, show_default=True, type=click.IntRange(1), help="How many leads.")
@click.option("--seed", default=1, show_default=True, help="Another seed, another company.")
@click.option("--start", default="2023-11", show_default=True, metavar="MONTH", help="First month.")
@click.option("--end", default="2026-10", show_default=True, metavar="MONTH", help="Last month.")
def main(to: Path, leads: int, seed: int, start: str, end: str) -> None:
    """Make a company up, with the truth about it written down beside."""
    write_company(to, leads, seed, start, end)
    click.echo(to)


if __name__ == "__main__":
    main()
