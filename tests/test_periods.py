"""Months, windows and instants by hand; the calendar against zoneinfo, quarter by quarter."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import oracles
import pandas as pd
import pytest
from companies import HOURS, utc

from kpi import periods
from kpi.errors import DataError, ParameterError
from kpi.periods import Month, Window


def test_month_by_hand():
    month = Month.parse("2026-12")
    assert (month.start, month.end, str(month)) == (date(2026, 12, 1), date(2027, 1, 1), "2026-12")
    assert month.window == Window(date(2026, 12, 1), date(2027, 1, 1))
    assert str(Month.parse("2026-01").previous) == "2025-12"
    assert str(month.shift(14)) == "2028-02"
    assert str(month.shift(-12)) == "2025-12"
    assert month.before(12) == Window(date(2025, 12, 1), date(2026, 12, 1))
    assert month.last(12) == Window(date(2026, 1, 1), date(2027, 1, 1))
    assert Month.parse("2026-02") < Month.parse("2026-11") < Month.parse("2027-01")


def test_month_numbers_are_consecutive():
    months = [Month.of(Month.parse("2025-11").number + step) for step in range(4)]
    assert [str(month) for month in months] == ["2025-11", "2025-12", "2026-01", "2026-02"]
    assert [periods.month_number(month.start) for month in months] == [month.number for month in months]


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026-1", "26-01", "octobre", "", "2026-10-01", " 2026-10"])
def test_no_month(text):
    with pytest.raises(ParameterError) as caught:
        Month.parse(text)
    assert str(caught.value) == f"month {text!r} is not a month; write it as 2026-10"


def test_window_in_days_and_months():
    window = Window(date(2026, 1, 31), date(2026, 3, 1))
    assert window.days == (periods.day_number(date(2026, 1, 31)), periods.day_number(date(2026, 3, 1)))
    assert [str(Month.of(number)) for number in range(*window.months)] == ["2026-01", "2026-02"]


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("2026-12", date(2026, 12, 1), date(2027, 1, 1)),
        ("2026-Q1", date(2026, 1, 1), date(2026, 4, 1)),
        ("2026-Q4", date(2026, 10, 1), date(2027, 1, 1)),
        (("2026-10-05", "2026-10-06"), date(2026, 10, 5), date(2026, 10, 6)),
        ([date(2026, 10, 5), date(2026, 11, 5)], date(2026, 10, 5), date(2026, 11, 5)),
        (Window(date(2026, 1, 31), date(2026, 3, 1)), date(2026, 1, 31), date(2026, 3, 1)),
    ],
)
def test_a_window_as_a_notebook_writes_it(value, start, end):
    assert Window.parse(value) == Window(start, end)


@pytest.mark.parametrize(
    "value",
    [
        "2026-13",
        "2026-Q5",
        "2026",
        "2026-10-01",
        "",
        90,
        None,
        ("2026-10-01",),
        ("2026-10-01", "2026-10-31", "2026-11-01"),
        ("01/10/2026", "01/11/2026"),
        ("2026-02-30", "2026-03-01"),
        ("2026-10", "2026-11"),
        (datetime(2026, 10, 1), datetime(2026, 11, 1)),
    ],
)
def test_what_is_no_window_is_told_how_to_be_written(value):
    with pytest.raises(ParameterError) as caught:
        Window.parse(value)
    assert str(caught.value) == f'window {value!r} is no window; write "2026-10", "2026-Q4" or ("2026-10-01", "2026-11-01")'


@pytest.mark.parametrize("pair", [("2026-10-02", "2026-10-02"), ("2026-11-01", "2026-10-01")])
def test_a_window_without_a_day_is_refused(pair):
    with pytest.raises(ParameterError, match="has no day: the first date is included, the second is not"):
        Window.parse(pair)


def test_day_numbers():
    assert periods.day_number(date(1970, 1, 1)) == 0
    assert periods.day_number(date(2024, 2, 29)) == 19782
    assert all(periods.day_of(periods.day_number(day)) == day for day in (date(1969, 12, 31), date(2000, 2, 29), date(2026, 10, 25)))


@pytest.mark.parametrize(
    ("value", "zone", "expected"),
    [
        ("2026-11-01", "Europe/Paris", "2026-10-31 23:00"),
        ("2026-08-01", "Europe/Paris", "2026-07-31 22:00"),
        (date(2026, 8, 1), "Asia/Kathmandu", "2026-07-31 18:15"),
        (datetime(2026, 8, 1, 9, 30), "Europe/Paris", "2026-08-01 07:30"),
        ("2026-11-01T09:30+01:00", "America/Sao_Paulo", "2026-11-01 08:30"),
        (datetime(2026, 8, 1, 9, tzinfo=timezone(timedelta(hours=-3))), "Europe/Paris", "2026-08-01 12:00"),
        ("2026-10-25 02:30", "Europe/Paris", "2026-10-25 00:30"),  # happens twice: the first
        (date(2018, 11, 4), "America/Sao_Paulo", "2018-11-04 03:00"),  # midnight was skipped: the day began at one
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04 03:00"),
        ("2026-08-01T09:30:15.250Z", "Europe/Paris", "2026-08-01 09:30:15.250"),
        (str(pd.Timestamp("2026-08-01 09:30", tz="Asia/Kathmandu")), "Europe/Paris", "2026-08-01 03:45"),
    ],
)
def test_instant(value, zone, expected):
    found = periods.instant(value, zone)
    assert (found, found.tzinfo, found.unit) == (pd.Timestamp(expected), None, "us")


@pytest.mark.parametrize(
    "value",
    ["2026-03-29 02:30", "yesterday-ish", "2026-02-30", ["2026-01-01"], "01/11/2026", "11/01/2026", "2026-11", "20261101", "2026/11/01", "now"],
)
def test_no_instant(value):
    with pytest.raises(ParameterError, match=r"is no instant in Europe/Paris; write it as 2026-11-01 or 2026-11-01T09:30\+01:00"):
        periods.instant(value, "Europe/Paris")


@pytest.mark.parametrize("value", [None, pd.NaT, ""])
def test_missing_instant(value):
    with pytest.raises(ParameterError, match=r"an instant is needed here, none was given|is no instant"):
        periods.instant(value, "Europe/Paris")


def test_last_days_end_before_the_day_of_as_of():
    midnight, noon = utc("2026-05-01 00:00"), utc("2026-05-01 12:00")
    assert periods.last_days(midnight, "Europe/Paris", 90) == Window(date(2026, 1, 31), date(2026, 5, 1))
    assert periods.last_days(noon, "Europe/Paris", 1) == Window(date(2026, 4, 30), date(2026, 5, 1))  # 1 May has begun, it does not count
    with pytest.raises(ParameterError, match="a window of 0 days is empty; give a positive number of days"):
        periods.last_days(midnight, "Europe/Paris", 0)


def test_local_date_of_an_evening():
    assert periods.local_date(pd.Timestamp("2026-10-31 22:30"), "Europe/Paris") == date(2026, 10, 31)
    assert periods.local_date(pd.Timestamp("2026-10-31 23:30"), "Europe/Paris") == date(2026, 11, 1)


def test_open_windows():
    week = periods.open_windows({"monday": ["09:00-12:00", " 14:00 - 18:15 "], "Sunday": ["0:00-24:00"]})
    assert week == [[(540, 720), (840, 1095)], [], [], [], [], [], [(0, 1440)]]


@pytest.mark.parametrize("text", ["9-12", "12:00-09:00", "09:00-09:00", "09:00-12:10", "09:05-12:00", "20:00-24:15", ""])
def test_no_window(text):
    with pytest.raises(DataError) as caught:
        periods.open_windows({"monday": [text]})
    assert str(caught.value) == f'[hours] monday = "{text}" is no window; write "09:00-12:00", starting and ending on a quarter of an hour'


def test_no_weekday():
    with pytest.raises(DataError, match="names 'lundi', which is no weekday; use monday, tuesday"):
        periods.open_windows({"lundi": ["09:00-12:00"]})


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("Europe/Paris", "2026-03-27 05:07", "2026-03-31 12:00"),  # clock put forward
        ("Europe/Paris", "2025-10-24 00:00", "2025-10-27 12:00"),  # and back
        ("Asia/Kathmandu", "2026-01-01 00:00", "2026-01-03 23:59"),  # 5 h 45
        ("America/Sao_Paulo", "2018-11-02 00:00", "2018-11-06 00:00"),  # forward at midnight
    ],
)
def test_calendar_against_zoneinfo(zone, first, last):
    closed = {date(2026, 3, 30), date(2018, 11, 2)}
    start, end = pd.Timestamp(first), pd.Timestamp(last)
    table = periods.calendar(zone, periods.open_windows(HOURS), closed, start, end)
    passed, moment = 0, table["hour_utc"].iloc[0].to_pydatetime()
    for row in table.itertuples():
        here = oracles.local(moment, zone)
        assert row.hour_utc + timedelta(minutes=15 * row.quarter) == moment
        assert row.epoch == (moment - datetime(1970, 1, 1)).total_seconds()
        assert row.day == (here.date() - date(1970, 1, 1)).days
        assert (row.month, row.weekday, row.hour) == (here.year * 12 + here.month - 1, here.weekday(), here.hour)
        assert (row.is_open, row.open_seconds) == (oracles.is_open(moment, zone, HOURS, closed), passed)
        passed += 900 * row.is_open
        moment += timedelta(minutes=15)
    assert table["hour_utc"].iloc[0] <= start
    assert moment > end.to_pydatetime()
    assert passed > 0


def test_business_time_stands_still_on_holidays_and_at_night():
    table = periods.calendar("Europe/Paris", periods.open_windows(HOURS), {date(2026, 5, 1)}, pd.Timestamp("2026-04-30"), pd.Timestamp("2026-05-04"))
    per_day = table.groupby("day")["is_open"].sum() * 900
    thursday = periods.day_number(date(2026, 4, 30))
    assert per_day.loc[thursday : thursday + 3].tolist() == [7.25 * 3600, 0, 0, 0]  # Thursday, 1 May, Saturday, Sunday
