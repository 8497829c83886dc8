"""The command line: exit statuses, one clear line for each refusal, an instant help."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from kpi import __main__ as command
from kpi import errors
from kpi.__main__ import WHERE, kpi, run
from kpi.dataset.segments import parse_where
from tests.simulated.__main__ import main as write_simulated


@pytest.fixture
def data_set(tmp_path):
    """A few leads, one of them without an id."""
    (tmp_path / "kpi.toml").write_text('[company]\nname = "Us"\ncurrency = "EUR"\ntimezone = "UTC"\nexported_at = "2026-11-02"\n', "utf-8")
    rows = [f"{'' if i == 7 else f'L{i}'},2026-{9 + i // 20:02d}-{1 + i % 20:02d}T10:00:00Z,Web,Ann" for i in range(40)]
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id,created_at,source,owner", *rows]) + "\n", "utf-8")
    return tmp_path


def test_help_is_instant():
    heavy = "print(sorted({'pandas', 'numpy', 'duckdb', 'papermill', 'matplotlib', 'babel'} & set(sys.modules)))"
    code = f"import sys\nfrom kpi.__main__ import run\nassert run(['--help']) == 0\n{heavy}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
    assert "report" in ended.stdout


@pytest.mark.parametrize("command", [(), *((name,) for name in sorted(kpi.commands))])
def test_every_command_explains_itself(command):
    shown = CliRunner().invoke(kpi, [*command, "--help"])
    assert shown.exit_code == 0
    options = kpi.commands[command[0]].params if command else kpi.params
    assert all(option.help for option in options if isinstance(option, click.Option))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["repor"], "kpi: No such command 'repor'. Did you mean 'report'?"),
        (["report", "--mnth", "2026-10"], "kpi: No such option '--mnth'. Did you mean '--month'?"),
        (["report", "--lang", "de"], "kpi: Invalid value for '--lang': 'de' is not one of 'en', 'fr'."),
        (
            ["report", "--where", "teem=Nord"],
            "kpi: Invalid value for '--where': 'teem' is not one of team, owner, source, segment; did you mean team?",
        ),
        (["report", "--where", "team="], "kpi: where 'team=' is not understood; write team=Nord, with one of team, owner, source, segment"),
        (["report", "--only", "pulze"], "kpi: there is no notebook 'pulze'"),
        (["metrics", "--month", "October"], "kpi: month 'October' is not a month; write it as 2026-10"),
        (["import", "deals.csv"], "kpi: Missing option '--to'."),
    ],
)
def test_wrong_arguments_end_with_2_and_one_line(capsys, arguments, line):
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith(line)


def test_every_condition_of_where_is_known_to_the_data():
    assert parse_where(",".join(f"{name}=x" for name in WHERE)) == dict.fromkeys(WHERE, "x")


@pytest.mark.parametrize(
    ("kind", "status"), [("ParameterError", 2), ("SchemaError", 3), ("DataError", 3), ("RunError", 4), ("BusyError", 5), ("WriteError", 6)]
)
def test_each_kind_of_error_has_its_status(monkeypatch, capsys, kind, status):
    def fail(*arguments, **options):
        raise getattr(errors, kind)("first line\nsecond line")

    monkeypatch.setattr("kpi.report.batch.report", fail)
    assert run(["report"]) == status
    assert capsys.readouterr().err == "kpi: first line second line\n"


def test_an_absent_data_set_ends_with_3(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["check", "nowhere"]) == 3
    assert "there is no data set 'nowhere'" in capsys.readouterr().err


def test_check_accounts_for_every_row(data_set, capsys):
    assert run(["check", str(data_set)]) == 0
    told = capsys.readouterr().out
    assert "Us: complete months up to 2026-10" in told
    header, row = (line.split() for line in told.splitlines()[2:4])
    assert header == ["table", "found", "filtered", "used", "set", "aside", "share"]
    assert row == ["leads", "40", "0", "39", "1", "2.5%"]
    assert "empty lead_id" in told
    assert "leads.csv:9" in told


def test_check_ends_with_3_where_too_much_was_set_aside(data_set, capsys):
    assert run(["metrics", str(data_set), "--max-set-aside", "2"]) == 3
    assert capsys.readouterr().out == "", "no number from data that are refused"
    assert run(["check", str(data_set), "--max-set-aside", "2"]) == 3
    told = capsys.readouterr()
    assert "leads     40" in told.out, "what was found is printed all the same"
    assert "kpi: leads: 1 of 40 rows (2.5%) were set aside, more than the 2% allowed; most often: empty lead_id (1)" in told.err


def test_check_for_programs(data_set, capsys):
    assert run(["check", str(data_set), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tables"] == [{"table": "leads", "found": 40, "filtered": 0, "used": 39, "set_aside": 1, "share": 0.025}]
    assert told["set_aside"][0]["reason"] == "empty lead_id"
    assert told["last_month"] == "2026-10"


def test_a_name_in_the_data_cannot_command_the_terminal(data_set, capsys):
    path = data_set / "leads.csv"
    path.write_text(path.read_text("utf-8") + "L99,\x1b[31mred,Web,Ann\n", "utf-8")
    assert run(["check", str(data_set)]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\N{REPLACEMENT CHARACTER}[31mred" in told


def test_metrics_print_numbers_only(data_set, capsys):
    assert run(["metrics", str(data_set), "--month", "2026-09"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    leads = next(row for row in rows if row["kpi"] == "pipeline.leads")
    assert (leads["value"], leads["window_start"], leads["window_end"]) == ("19.0", "2026-09-01", "2026-10-01")
    assert run(["metrics", str(data_set), "--where", "source=Web", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["month"] == "2026-10"
    assert next(row["value"] for row in told["rows"] if row["kpi"] == "pipeline.leads") == 20
    assert run(["metrics", str(data_set), "--month", "2026-11"]) == 3
    assert "the data do not cover 2026-11" in capsys.readouterr().err


def test_the_simulated_company_is_a_data_set_that_check_accepts(tmp_path, capsys):
    arguments = ["--to", str(tmp_path / "us"), "--leads", "200", "--seed", "3", "--start", "2026-01", "--end", "2026-10"]
    write_simulated(arguments, standalone_mode=False)
    assert run(["check", str(tmp_path / "us")]) == 0
    with pytest.raises(click.ClickException, match="is not an empty folder"):
        write_simulated(arguments, standalone_mode=False)


def test_lab_opens_the_notebooks(data_set, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, command: started.append(command))
    monkeypatch.setattr(subprocess, "call", lambda command: started.append(command) or 0)
    monkeypatch.setattr(os, "chdir", lambda path: None)
    if os.name == "posix":
        monkeypatch.setattr(sys, "exit", lambda status: None)
    assert run(["lab", str(data_set)]) == 0
    assert started[0][1:] == ["-m", "jupyter", "lab", "notebooks"]
    assert run(["lab", "nowhere"]) == 3
    assert "there is no data set" in capsys.readouterr().err


@pytest.mark.slow
def test_a_reader_who_stops_reading_is_no_failure(data_set):
    command = f"{sys.executable} -m kpi metrics {data_set} | head -1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "0"
    assert ended.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (None, 130)])
def test_a_signal_in_the_middle_of_a_query_ends_the_run_as_any_other(monkeypatch, capsys, number, status):
    def querying(*_, **__):
        if number is not None:
            with contextlib.suppress(command.Terminated):  # the engine swallows it
                signal.raise_signal(number)
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr(command.kpi, "main", querying)
    assert command.run(["check"]) == status
    assert "nothing half published" in capsys.readouterr().err


def test_other_failures_of_the_engine_are_not_hidden(monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr(command.kpi, "main", failing)
    with pytest.raises(RuntimeError, match="a defect"):
        command.run(["check"])
