"""Setting the kit up: lock, conda environment, Makefile and package say the same."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

LOCKS = ("requirements.txt", "requirements-spark.txt")


@pytest.fixture(scope="module")
def project(root) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def lock(root) -> dict[str, list[Version]]:
    """Versions by package; several where they differ by Python or system."""
    found: dict[str, list[Version]] = {}
    text = "".join((root / name).read_text("utf-8") for name in LOCKS)
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE):
        found.setdefault(name, []).append(Version(version))
    return found


def test_the_lock_fits_what_the_kit_asks_for(project, lock):
    extras = project["project"]["optional-dependencies"]
    asked = [Requirement(text) for text in [*project["project"]["dependencies"], *extras["test"], *extras["spark"]]]
    for need in asked:
        assert need.name in lock, f"make lock: {need.name} is not locked"
        assert all(need.specifier.contains(version) for version in lock[need.name]), f"make lock: {need} against {lock[need.name]}"


def imported(folder: Path) -> set[str]:
    """Packages of others that the code of a folder imports, wherever in a module."""
    found = set()
    for path in folder.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        found |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        found |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    own = {"kpi", "tests"} | {path.stem for path in folder.glob("*.py")}
    return {name.partition(".")[0] for name in found} - own - sys.stdlib_module_names


@pytest.mark.parametrize("folder", ["kpi", "tests"])
def test_what_is_imported_is_declared(root, project, folder):
    """By its own name: that another package happens to bring it may end with that one's next version."""
    extras = project["project"]["optional-dependencies"]
    tests = extras["test"] if folder == "tests" else ["polars"]  # who hands in a frame of Polars has it
    declared = {Requirement(text).name for text in [*project["project"]["dependencies"], *extras["warehouse"], *extras["spark"], *tests]}
    packages = packages_distributions()
    names = {name: {package.lower().replace("_", "-") for package in packages.get(name, [name])} for name in imported(root / folder)}
    assert {name for name, found in names.items() if not found & declared} == set()


def test_the_kit_itself_is_built_by_what_the_lock_brings(project, lock):
    build = project["build-system"]
    assert build["build-backend"] == "setuptools.build_meta"
    assert all(Requirement(text).specifier.contains(version) for text in build["requires"] for version in lock["setuptools"])


def test_every_package_of_the_lock_has_its_hashes_and_none_an_address(root):
    pins = []
    for name in LOCKS:
        text = (root / name).read_text("utf-8")
        pins += re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    assert len(pins) > 50
    assert [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin] == []
    for name in (*LOCKS, "pyproject.toml", "Makefile", "environment.yml", ".ci/run"):
        assert not re.search(
            r"://|index-url|find-links\b(?!\s+\\)", (root / name).read_text("utf-8").replace("--no-emit-index-url --no-emit-find-links", "")
        )


def pip_half(root: Path) -> list[str]:
    """What conda hands to pip, as it does: the lines of the pip section, in a requirements file of its own."""
    environment = yaml.safe_load((root / "environment.yml").read_text("utf-8"))
    return next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))


def second_step(root: Path) -> list[str]:
    """The installation of the kit itself, as the file's head tells it."""
    found = re.search(r"^# python (-m pip install .*)$", (root / "environment.yml").read_text("utf-8"), re.MULTILINE)
    return found[1].split()


def test_the_conda_environment_uses_the_lock(root, project):
    environment = yaml.safe_load((root / "environment.yml").read_text("utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python = next(Requirement(item) for item in environment["dependencies"] if isinstance(item, str) and item.startswith("python"))
    assert not python.specifier.contains("3.10")
    assert python.specifier.contains("3.11")
    assert project["project"]["requires-python"] == ">=3.11"
    assert pip_half(root) == ["-r requirements.txt"]
    assert second_step(root) == ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--editable", "."]


def test_make_installs_as_the_conda_environment_does(root):
    makefile = (root / "Makefile").read_text("utf-8")
    assert "--require-hashes -r requirements.txt" in makefile
    assert "--no-deps --no-build-isolation --editable ." in makefile


def test_make_names_a_python_that_is_too_old(root, tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    (tmp_path / "requirements.txt").touch()
    for choice, message in ((f"PYTHON={old}", "is not Python 3.11 or later"), ("PYTHON=", "no Python 3.11 or later found")):
        command = ["make", "-f", str(root / "Makefile"), ".venv/locked", choice]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert message in ended.stderr


def test_help_of_make_tells_every_target(root):
    makefile = (root / "Makefile").read_text("utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    told = subprocess.run(["make", "-C", str(root), "--no-print-directory"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in told.splitlines()} == phony


def test_all_that_a_run_reads_is_part_of_the_package(root):
    """A file beside the code that package-data forgets would be missing from an installation that is not editable."""
    found = [path for path in (root / "kpi").rglob("*") if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".py", ".pyc")]
    patterns = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]["*"]
    assert [path.name for path in found if not any(path.match(pattern) for pattern in patterns)] == []


@pytest.mark.slow
def test_the_pip_half_of_the_conda_environment_installs_and_runs(root, tmp_path):
    """conda itself is not asked: it only brings Python and pip, a plain environment stands in for them."""
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    wanted = tmp_path / "condaenv.requirements.txt"
    wanted.write_text("\n".join(pip_half(root)).replace("requirements.txt", str(root / "requirements.txt")), "utf-8")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", str(wanted)], check=True)
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(root), str(checkout)], check=True)
    subprocess.run([python, *second_step(root)], cwd=checkout, check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    ended = subprocess.run([python, "-m", "kpi", "check", "data/sample"], cwd=checkout, capture_output=True, text=True, check=True)
    assert "leads" in ended.stdout
