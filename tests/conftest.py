"""What every test may ask for: the sample company, a browser, and the same generated tables each time."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every machine and every run: a failure can be repeated, and nothing is retried.
hypothesis.settings.register_profile("kit", derandomize=True, deadline=None, max_examples=50, database=None)
hypothesis.settings.load_profile("kit")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def sample():
    """The simulated company that comes with the kit, read once."""
    import kpi

    return kpi.load(ROOT / "data" / "sample")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; the test is skipped where there is none, except in CI, where that is a failure."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail("CI needs Chromium for the pages: install the package chromium")
    pytest.skip("no Chromium here")


@pytest.fixture(scope="session")
def spark():
    """Spark on this machine, skipped where it cannot run, except in CI, where that is a failure."""
    lacking = [name for name, found in (("the extra spark", find_spec("pyspark")), ("Java 17 or later", shutil.which("java"))) if not found]
    if lacking and os.environ.get("CI"):
        pytest.fail(f"CI needs {' and '.join(lacking)} for the engine spark")
    if lacking:
        pytest.skip(f"no Spark here: it needs {' and '.join(lacking)}")
    from pyspark.sql import SparkSession

    from kpi import engine

    builder = SparkSession.builder.master("local[2]").appName("tests")
    small = {"spark.sql.shuffle.partitions": "2", "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    # Many small queries: planning them costs more than running them.
    small |= {"spark.sql.adaptive.enabled": "false", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"}
    for setting, value in (engine.SPARK | small | {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}).items():
        builder = builder.config(setting, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
