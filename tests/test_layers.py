"""The architecture, held: imports go down only, heavy libraries load late, constants are written once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "phyda_cli"
FILES = sorted(PACKAGE.rglob("*.py"))

RANKS = {
    "errors": 0,
    "fields.constants": 0,
    "fields": 1,
    "console": 1,
    "config": 1,
    "resources": 1,
    "formats.atomic": 1,
    "observations": 2,
    "simulation": 2,
    "model": 2,
    "formats": 3,
    "methods": 3,
    "verification": 3,
    "preparation": 4,
    "assimilation": 4,
    "training": 5,
    "experiments": 6,
    "commands": 7,
    "cli": 8,
    "__main__": 9,
}
LATE = {"torch", "numpy", "pandas", "xarray", "pydantic", "rich", "cfgrib", "eccodes", "netCDF4", "zarr", "matplotlib"}
CONSTANTS = (
    (9.79, 9.82),  # gravity
    (286.8, 287.2),  # dry air
    (461.0, 462.0),  # water vapour
    (1003.0, 1005.8),  # heat of dry air
    (6.35e6, 6.38e6),  # radius [m]
    (6350.0, 6380.0),  # radius [km]
    (7.29e-5, 7.2925e-5),  # rotation
    (273.14, 273.155),  # zero Celsius
)


def layer(module: str) -> str:
    """The layer of a module of phyda, such as `formats` of `phyda_cli.formats.csv`."""
    inner = module.removeprefix("phyda_cli").lstrip(".")
    return inner if inner in RANKS else inner.split(".")[0]


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    """The full names of the modules that a piece of code imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in submodules:
                as_path = ROOT / Path(*name.split("."))
                is_module = as_path.is_dir() or as_path.with_suffix(".py").is_file()
                yield name if is_module else str(node.module)


def at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, without those for type checkers only."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node


def violations(source: str, module: str) -> list[str]:
    """The imports of a module's source that do not go down."""
    mine = layer(module)
    inner = [name for name in imports(ast.parse(source)) if name.startswith("phyda_cli.")]
    return [n for n in inner if layer(n) != mine and RANKS[layer(n)] >= RANKS[mine]]


def test_every_module_has_a_rank():
    assert {layer(name_of(file)) for file in FILES} - {""} <= set(RANKS)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_go_down_only(file):
    if file == PACKAGE / "__init__.py":
        assert list(imports(ast.parse(file.read_text()))) == ["__future__"] or not file.read_text().count("import")
    else:
        assert violations(file.read_text(), name_of(file)) == []


def test_the_check_finds_what_it_looks_for():
    up = "def f():\n    from phyda_cli.formats import csv\n"
    assert violations(up, "phyda_cli.fields.grid") == ["phyda_cli.formats.csv"]
    assert violations(up, "phyda_cli.methods.oi") == ["phyda_cli.formats.csv"]
    assert violations(up, "phyda_cli.commands.doctor") == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_click_is_never_imported(file):
    assert not {name.split(".")[0] for name in imports(ast.parse(file.read_text()))} & {"click"}
    assert "typer._" not in file.read_text()


@pytest.mark.parametrize("file", [*sorted((PACKAGE / "commands").glob("*.py")), PACKAGE / "cli.py"], ids=name_of)
def test_commands_import_heavy_libraries_late(file):
    early = {name for node in at_import(ast.parse(file.read_text())) for name in imports(node)}
    assert not {name.split(".")[0] for name in early} & LATE
    light = {"console", "errors", "commands", "formats.atomic", ""}
    assert {layer(name) for name in early if name.startswith("phyda_cli")} <= light


@pytest.mark.parametrize("file", [f for f in FILES if f != PACKAGE / "fields" / "constants.py"], ids=name_of)
def test_physical_constants_are_written_once(file):
    numbers = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant)]
    values = [(n.value, n.lineno) for n in numbers if isinstance(n.value, int | float)]
    assert [(v, line) for v, line in values if any(low < abs(v) < high for low, high in CONSTANTS)] == []
