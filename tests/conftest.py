"""What every test may ask for: the sample company, a browser, and the same generated tables each time."""

from __future__ import annotations

import os
import shutil
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
