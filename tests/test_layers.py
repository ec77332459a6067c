"""The architecture, held: imports go down only, heavy libraries load late, constants are written once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "phyda_cli"
FILES = sorted(PACKAGE.rglob("*.py"))

RANKS = {
    "errors": 0,
    "constants": 0,
    "version": 0,
    "console": 1,
    "settings": 1,
    "resources": 1,
    "outputs": 1,
    "grids": 1,
    "config": 2,
    "fields": 2,
    "observations": 3,
    "errors_b": 3,
    "physics": 3,
    "simulation": 3,
    "operators": 4,
    "networks": 4,
    "quality": 5,
    "methods": 5,
    "formats": 6,
    "evaluation": 6,
    "assimilation": 6,
    "library": 7,
    "preparation": 7,
    "forecast": 8,
    "training": 8,
    "cycle": 9,
    "experiments": 9,
    "cli": 10,
    "__main__": 11,
}
LIGHT = ("assimilate", "methods", "option", "values")
"""The settings that make the command line."""
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
    """The layer of a module of phyda, such as `formats` of `phyda_cli.formats.reports.metar`."""
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


def test_imports_go_down_only():
    upward = {name_of(file): violations(file.read_text(), name_of(file)) for file in FILES if layer(name_of(file))}
    assert {name: wrong for name, wrong in upward.items() if wrong} == {}


def test_the_package_itself_loads_nothing_and_is_no_way_round_the_layers():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    assert {name for node in at_import(tree) for name in imports(node)} == {"typing"}
    for file in FILES:
        from_package = [
            alias.name
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module == "phyda_cli"
            for alias in node.names
        ]
        assert {name for name in from_package if not (PACKAGE / f"{name}.py").is_file()} <= {"__version__"}, file


def test_the_check_finds_what_it_looks_for():
    up = "def f():\n    from phyda_cli.formats.reports import metar\n"
    assert violations(up, "phyda_cli.grids.latlon") == ["phyda_cli.formats.reports.metar"]
    assert violations(up, "phyda_cli.methods.oi") == ["phyda_cli.formats.reports.metar"]
    assert violations(up, "phyda_cli.cli.doctor") == []


def test_click_is_never_imported():
    for file in FILES:
        text = file.read_text()
        assert not {name.split(".")[0] for name in imports(ast.parse(text))} & {"click"}, file
        assert "typer._" not in text, file


def test_commands_import_heavy_libraries_late():
    for file in (*(PACKAGE / "cli").glob("*.py"), *(PACKAGE / "settings" / f"{name}.py" for name in LIGHT)):
        early = {name for node in at_import(ast.parse(file.read_text())) for name in imports(node)}
        assert not {name.split(".")[0] for name in early} & LATE, file
        light = {"console", "errors", "cli", "outputs", "settings", ""}
        assert {layer(name) for name in early if name.startswith("phyda_cli")} <= light, file


def test_physical_constants_are_written_once():
    for file in FILES:
        if file != PACKAGE / "constants.py":
            numbers = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant)]
            values = [(n.value, n.lineno) for n in numbers if isinstance(n.value, int | float)]
            assert not [(v, line) for v, line in values if any(low < abs(v) < high for low, high in CONSTANTS)], file
