"""The rules of the code: who may import whom, no clock, no chance, names and docstrings."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import kpi.errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kpi"

# A module imports modules of its own layer or of lower ones, never in a circle.
FLOORS = (
    ("errors", "periods", "engine"),
    ("schema", "catalog", "statistics"),
    ("sources",),
    ("dataset",),
    ("importing", "facts"),
    ("response_time", "pipeline", "retention", "lifetime_value"),
    ("forecast",),
    ("compute", "record_ledger"),
    ("presentation",),
    ("report",),
    ("__main__",),
)
LAYERS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
METRICS = {"response_time", "pipeline", "retention", "lifetime_value"}
# What only shows things knows no data: the two lowest floors, and its own rooms in this order.
LOW = {"errors", "periods", "schema", "catalog"}
SHOWING = ("language", "charts", "blocks", "pages")

FENCES = {
    **dict.fromkeys(("duckdb", "polars", "pyarrow", "pyspark"), ("kpi.engine", "kpi.sources")),
    **dict.fromkeys(("nbformat", "nbconvert", "nbclient", "papermill", "jupyter_client", "jinja2"), ("kpi.report",)),
    "python_calamine": ("kpi.sources.readers.workbook",),
    "filelock": ("kpi.report", "kpi.importing"),
    "matplotlib": ("kpi.presentation.charts", "kpi.presentation.blocks.elements"),  # blocks take an Axes, and have charts turn it into a picture
    "seaborn": ("kpi.presentation.charts",),
    "PIL": ("kpi.presentation.charts",),
    "scipy": ("kpi.statistics", "kpi.lifetime_value", "kpi.forecast"),
    "babel": ("kpi.presentation.language", "kpi.sources.config"),
    "holidays": ("kpi.dataset.hours",),
    "click": ("kpi.__main__",),
    "IPython": ("kpi.presentation.pages",),
    **dict.fromkeys(
        ("tests", "openpyxl", "statsmodels", "hypothesis", "mpmath", "pytest", "random", "secrets", "uuid", "locale", "requests", "socket"), ()
    ),
}
CLOCK = {"now", "today", "utcnow", "time_ns", "localtime", "gmtime", "ctime", "process_time"}
STOPWATCH = {"perf_counter", "monotonic"}
CLOCK_IN_TEXT = re.compile(r"\b(current_date|current_timestamp|localtimestamp|getdate\(|now\(\)|today\(\))", re.IGNORECASE)
SEEDED = {"default_rng", "Generator", "PCG64", "SeedSequence", "BitGenerator"}
FORBIDDEN_NAMES = re.compile(r"^(get_|calc_)|(^|_)(utils?|helpers?|common|misc)($|_)")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {module_name(path): ast.parse(path.read_text("utf-8"), str(path)) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.Module) -> set[str]:
    """Modules imported anywhere in a module, those inside functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else str(node.module) for name in names}
    return found


IMPORTS = {name: imports(tree) for name, tree in SOURCES.items()}


def area(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def areas() -> dict[str, set[str]]:
    """Which area of the kit imports which."""
    found: dict[str, set[str]] = {}
    for name, names in IMPORTS.items():
        inside = {area(other) for other in names if other.split(".")[0] == "kpi"}
        found.setdefault(area(name), set()).update(inside - {area(name), "kpi"})
    return found


def functions(tree: ast.Module):
    """Public functions and methods: (name, node, whether the first argument is self or cls)."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, False
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    is_static = any(getattr(decorator, "id", "") == "staticmethod" for decorator in method.decorator_list)
                    yield f"{node.name}.{method.name}", method, not is_static


def parameters(node: ast.FunctionDef, is_bound: bool) -> list[str]:
    arguments = node.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][is_bound:]
    names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    names += [argument.arg for argument in arguments.kwonlyargs]
    return names + ([f"**{arguments.kwarg.arg}"] if arguments.kwarg else [])


def sections(docstring: str) -> dict[str, str]:
    """Sections of a numpydoc docstring."""
    parts = re.split(r"^(\w[\w ]+)\n-{3,}$", docstring, flags=re.MULTILINE)
    return {title: text.strip("\n") for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def listed(section: str) -> list[str]:
    """Names that a section describes, in order."""
    heads = [line.split(" : ")[0] for line in section.splitlines() if line and not line.startswith(" ")]
    return [name.strip() for head in heads for name in head.split(",")]


def exported(module: str) -> dict[str, str]:
    """Names that a room's face gives to notebooks, and the module each comes from."""
    found = {
        alias.asname or alias.name: str(node.module) for node in SOURCES[module].body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return {name: found[name] for name in ast.literal_eval(_all(SOURCES[module])) if name in found}


def _all(tree: ast.Module) -> ast.expr:
    return next(node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")


# What a notebook may call: the names of the areas and of the charts, the data set, months and windows, how a page begins.
FACES = ("dataset", "forecast", "lifetime_value", "pipeline", "presentation.charts", "response_time", "retention")
SHARED = {"data", "as_of", "window", "view", "by", "horizons", "quantile", "level"}  # said once, in the docstring of `kpi`
SHARED |= {"words", "xlabel", "ylabel", "ax"}  # said once, in the docstring of `kpi.presentation.charts`
CALLED = {(module, name) for face in FACES for name, module in exported(f"kpi.{face}").items()} | {
    *(("kpi.compute", name) for name, _, _ in functions(SOURCES["kpi.compute"])),
    ("kpi.periods", "Month"),
    ("kpi.periods", "Window"),
    ("kpi.presentation.pages.about", "about"),
    ("kpi.presentation.pages.about", "section"),
}
PUBLIC = {
    f"{module}.{name}": (node, is_bound)
    for module, tree in SOURCES.items()
    for name, node, is_bound in functions(tree)
    if (module, name.split(".")[0]) in CALLED
}


# --- who imports whom


def test_every_area_has_its_layer():
    assert set(areas()) - {"kpi"} == set(LAYERS)


def test_no_import_goes_up():
    wrong = {(one, other) for one, others in areas().items() if one != "kpi" for other in others if LAYERS[other] > LAYERS[one]}
    assert not wrong


def test_no_import_goes_in_a_circle():
    tuple(TopologicalSorter(areas()).static_order())
    tuple(TopologicalSorter({name: others & set(SOURCES) - {name, "kpi"} for name, others in IMPORTS.items()}).static_order())


def test_metrics_do_not_import_each_other():
    assert not {(one, other) for one in METRICS for other in areas()[one] & METRICS}


def test_what_shows_things_knows_no_data():
    assert not areas()["presentation"] - LOW - {"statistics"}  # whether two numbers differ
    inside = {(name, other) for name, others in IMPORTS.items() for other in others if name.startswith(other[:17]) and name.count(".") > 1}
    shown = {(name.split(".")[2], other.split(".")[2]) for name, other in inside if name.startswith("kpi.presentation.") and other.count(".") > 1}
    assert not {(one, other) for one, other in shown if SHOWING.index(other) > SHOWING.index(one)}


def test_the_package_itself_imports_nothing_until_asked():
    tree = ast.parse(ast.unparse(SOURCES["kpi"]))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    assert imports(tree) <= {"__future__", "importlib", "typing"}


@pytest.mark.parametrize("library", FENCES)
def test_libraries_stay_behind_their_fence(library):
    users = {name for name, names in IMPORTS.items() if library in {other.split(".")[0] for other in names}}
    assert {name for name in users if not any(name == place or name.startswith(f"{place}.") for place in FENCES[library])} == set()


# --- no clock, no chance


def calls(tree: ast.Module):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def clock_uses(module: str, tree: ast.Module) -> list[str]:
    found = []
    for node, called in calls(tree):
        if (module, called) == ("kpi.__main__", "date.today"):
            continue  # the day of the run comes in at the process's edge, by an option that can set it
        last = called.split(".")[-1]
        is_literal = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value in ("now", "today")
        if last in CLOCK or called in ("time.time", "time") or is_literal or (last in STOPWATCH and not module.startswith("kpi.report")):
            found.append(f"{module}:{node.lineno} {called}")
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return found + [f"{module}:{node.lineno} {node.value!r}" for node in texts if CLOCK_IN_TEXT.search(node.value)]


def chance_uses(module: str, tree: ast.Module) -> list[str]:
    found = []
    for node, called in calls(tree):
        last, keywords = called.split(".")[-1], {keyword.arg for keyword in node.keywords}
        is_numpy = re.fullmatch(r"(np|numpy)\.random\.\w+", called)
        if (is_numpy and last not in SEEDED) or (last == "default_rng" and not node.args and "seed" not in keywords) or called == "os.urandom":
            found.append(f"{module}:{node.lineno} {called}")
        if last == "sample" and not keywords & {"random_state", "seed"}:
            found.append(f"{module}:{node.lineno} {called} without a seed")
    return found


def test_nothing_reads_the_clock():
    assert [use for name, tree in SOURCES.items() for use in clock_uses(name, tree)] == []


def test_no_random_number_without_a_seed():
    assert [use for name, tree in SOURCES.items() for use in chance_uses(name, tree)] == []


@pytest.mark.parametrize(
    "code",
    [
        "pd.Timestamp.now()",
        "date.today()",
        "time.time()",
        "pd.Timestamp('today')",
        "x = 'select now()'",
        "time.perf_counter()",
        "con.execute('select current_date')",
    ],
)
def test_the_clock_would_be_seen(code):
    assert clock_uses("kpi.example", ast.parse(code))


@pytest.mark.parametrize("code", ["np.random.rand(3)", "np.random.default_rng()", "np.random.seed(1)", "frame.sample(3)", "os.urandom(8)"])
def test_chance_would_be_seen(code):
    assert chance_uses("kpi.example", ast.parse(code))
    assert not chance_uses("kpi.example", ast.parse("rng = np.random.default_rng(seed)"))


def test_no_locale_is_set():
    assert not [name for name, tree in SOURCES.items() for _, called in calls(tree) if called.endswith("setlocale")]


# --- docstrings


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_notebook_may_call_is_documented(name):
    node, is_bound = PUBLIC[name]
    docstring = ast.get_docstring(node) or ""
    assert docstring, "no docstring"
    parts = sections(docstring)
    told, taken = listed(parts.get("Parameters", "")), parameters(node, is_bound)
    assert set(told) <= set(taken), "no such parameter"
    assert set(taken) - SHARED <= set(told), "a parameter is not told"
    positional = [argument for argument in taken if argument in told and argument not in {one.arg for one in node.args.kwonlyargs}]
    assert told[: len(positional)] == positional, "told in another order than taken"
    is_property = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
    if node.returns is not None and ast.unparse(node.returns) not in ("None", "NoReturn") and not is_property:
        assert {"Returns", "Yields"} & set(parts), "what it returns is not said"
    errors_told = set(listed(parts.get("Raises", "")))
    kinds = {kind for kind in vars(kpi.errors) if isinstance(vars(kpi.errors)[kind], type)}
    assert errors_told <= kinds | {"ValueError", "TypeError", "KeyError", "AttributeError", "OSError"}, "no such error"
    raised = {
        ast.unparse(error.exc.func if isinstance(error.exc, ast.Call) else error.exc)
        for error in ast.walk(node)
        if isinstance(error, ast.Raise) and error.exc is not None
    }
    assert raised & kinds <= errors_told, "raised, but not told"


def test_every_module_and_class_says_what_it_is():
    silent = [name for name, tree in SOURCES.items() if not ast.get_docstring(tree)]
    for name, tree in SOURCES.items():
        silent += [
            f"{name}.{node.name}" for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_" and not ast.get_docstring(node)
        ]
    assert not silent


def test_examples_are_run():
    with (ROOT / "pyproject.toml").open("rb") as file:
        options = tomllib.load(file)["tool"]["pytest"]["ini_options"]
    assert "--doctest-modules" in options["addopts"]
    assert "kpi" in options["testpaths"]
    assert sum(">>>" in ast.unparse(tree) for tree in SOURCES.values()) >= 5


# --- names and sizes


def test_names_say_what_things_are():
    named = {part for name in SOURCES for part in name.split(".")}
    for tree in SOURCES.values():
        named |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"}
    assert {name for name in named if FORBIDDEN_NAMES.search(name)} == set()


def test_no_public_function_takes_anything():
    assert not [name for name, (node, bound) in PUBLIC.items() if "**kwargs" in parameters(node, bound)]


def test_modules_stay_short():
    lengths = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8").count("\n") for path in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


# A small kit: what is added takes something out. The first two count lines, code without blanks and comments.
MOST = {"code": 13_581, "docstrings": 5_800, "modules": 150}


def sizes(text: str) -> tuple[int, int]:
    """Lines of code, lines of docstrings."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            documented |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = [line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in documented]
    return sum(bool(line) and not line.startswith("#") for line in lines), len(documented)


def test_the_kit_stays_small():
    found = [sizes(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")]
    counted = {"code": sum(code for code, _ in found), "docstrings": sum(lines for _, lines in found), "modules": len(found)}
    assert {name: count for name, count in counted.items() if count > MOST[name]} == {}


def test_lines_are_counted_as_a_reader_does():
    assert sizes('"""One.\n\nTwo.\n"""\n\n# a comment\ndef f():\n    """Three."""\n    return 1  # four\n') == (2, 5)


FACE = {
    *("load", "Dataset", "Window", "Month", "KpiError", "ledger", "catalog", "compute"),
    *("response_time", "pipeline", "retention", "lifetime_value", "forecast"),
    *("about", "section", "pages", "plots"),
}


def test_the_face_of_the_kit_is_what_a_notebook_may_call_and_no_more():
    assert set(kpi.__all__) == FACE
    assert {name for name in dir(kpi) if not name.startswith("__")} == FACE
    for name in kpi.__all__:
        assert getattr(kpi, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lead_time'"):
        kpi.lead_time  # noqa: B018


def test_editors_are_told_the_face_too():
    (typed,) = (node for node in SOURCES["kpi"].body if isinstance(node, ast.If))
    told = {alias.asname or alias.name for node in ast.walk(typed) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == FACE


@pytest.mark.parametrize("area", ["response_time", "pipeline", "retention", "lifetime_value", "forecast", "plots"])
def test_an_area_shows_functions_and_no_module(area):
    shown = getattr(kpi, area)
    assert not [name for name in getattr(shown, "__all__", ()) if inspect.ismodule(getattr(shown, name))]


# --- committed files


def committed() -> list[Path]:
    git = shutil.which("git")
    if not git or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    answer = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in answer.split("\0") if name and (ROOT / name).is_file()]


def test_no_committed_file_names_a_registry_or_a_machine():
    # put together here, since this file is committed too
    hosts = ["pypi" + ".org", "files.python" + "hosted.org", "conda." + "anaconda.org", "registry." + "npmjs"]
    places = [r"(?<![\w.])/" + place + r"/" for place in ("work", "root")]
    forbidden = re.compile("|".join([*map(re.escape, hosts), *places]).encode())
    found = {path.relative_to(ROOT).as_posix(): match.group().decode() for path in committed() if (match := forbidden.search(path.read_bytes()))}
    assert found == {}


def test_the_code_names_no_temporary_folder():
    texts = {name: (PACKAGE.parent / f"{name.replace('.', '/')}").with_suffix(".py") for name in SOURCES}
    assert [name for name, path in texts.items() if path.is_file() and "/tmp" in path.read_text("utf-8")] == []
