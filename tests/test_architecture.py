"""The architecture, as tests: who may import whom, and what every module keeps to."""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyloader.errors import MissingDependencyError

PACKAGE = Path(__file__).resolve().parents[1] / "pyloader"
PATHS = sorted(PACKAGE.rglob("*.py"))

# From the bottom to the top.  A module may import from its own layer and from those below.
LAYERS = [
    {"bars", "errors", "options", "optional", "columns", "limits", "memory", "version", "world", "wrapping"},
    {"files", "plan"},
    {"datareader", "dataset", "datacollator", "read", "shuffle", "encode", "collate"},
    {"deliver"},
    {"write"},
    {"observe", "audit"},  # no step knows them
    {"run", "indexed"},
    {"parts", "ranks", "loaderoptions", "dataloader", "jax", "torch", "tensorflow"},
    {"testing", "demo"},
    {"", "cli", "__main__"},  # "" is pyloader/__init__.py, the map
]

CONCURRENCY = {"_thread", "asyncio", "concurrent", "multiprocessing", "queue", "subprocess", "threading"}
HEAVY = ["array_record", "cloudpickle", "datasets", "jax", "matplotlib", "polars", "pyarrow", "tensorflow", "torch"]
SAY_NOTHING = {"base", "common", "core", "helpers", "misc", "util", "utils"}
DERIVED = {"Generator", "PCG64", "SeedSequence"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): ast.parse(path.read_text()) for path in PATHS}
LISTED = {name: tree for name, tree in MODULES.items() if name != "pyloader.__main__"}


def every(modules: dict[str, ast.Module]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("name", "tree"), modules.items(), ids=modules)


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for each import, wherever it stands; name is "" for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the whole name instead of a relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def imported_modules(tree: ast.Module) -> set[str]:
    """Return the modules of this package that `tree` imports."""
    found = set()
    for module, name in imports(tree):
        whole = f"{module}.{name}"
        found |= {whole} if whole in MODULES else {module} & MODULES.keys()
    return found


def dotted_uses(tree: ast.Module) -> set[str]:
    """Return what is written as name.attribute, however deep: {"np.random", "np.random.seed"}."""
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def layer(name: str) -> int:
    part = name.split(".")[1] if "." in name else ""
    return next((index for index, parts in enumerate(LAYERS) if part in parts), -1)


def exported(tree: ast.Module) -> list[str] | None:
    """Return what `__all__` lists; None when there is none."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            value = ast.literal_eval(node.value)  # type: ignore[union-attr, arg-type]
            return list(value)
    return None


@every(MODULES)
def test_every_module_has_its_layer_and_imports_none_above(name, tree):
    assert layer(name) >= 0, f"{name} has no place in LAYERS"
    above = [module for module in imported_modules(tree) if layer(module) > layer(name)]
    assert not above


def test_no_two_modules_import_each_other():
    # The map is left out: it imports everything, and everything is imported after it.
    uses = {name: imported_modules(tree) - {name, "pyloader"} for name, tree in MODULES.items() if name != "pyloader"}
    graphlib.TopologicalSorter(uses).prepare()  # raises CycleError, which shows the cycle


@every(MODULES)
def test_only_deliver_knows_about_threads_and_processes(name, tree):
    if not name.startswith("pyloader.deliver"):
        assert not {module.partition(".")[0] for module, _ in imports(tree)} & CONCURRENCY


@every(MODULES)
def test_nothing_sleeps(name, tree):
    assert ("time", "sleep") not in imports(tree)
    assert "time.sleep" not in dotted_uses(tree)


@every({name: tree for name, tree in MODULES.items() if not name.startswith("pyloader.demo")})
def test_randomness_is_derived_and_never_global(name, tree):
    assert "random" not in {module for module, _ in imports(tree)}
    drawn = {use.removeprefix("np.random.") for use in dotted_uses(tree) if use.startswith("np.random.")}
    assert not {use.partition(".")[0] for use in drawn} - DERIVED


@every(MODULES)
def test_only_the_command_line_prints(name, tree):
    printed = any(isinstance(node, ast.Name) and node.id == "print" for node in ast.walk(tree))
    assert not printed or name.startswith("pyloader.cli")


@every(MODULES)
def test_no_object_is_finalised_by_del(name, tree):
    assert "__del__" not in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@every(MODULES)
def test_every_module_says_what_it_is(name, tree):
    assert (ast.get_docstring(tree) or "").strip(), "no docstring"


@every(LISTED)
def test_every_module_lists_what_is_public_and_has_it(name, tree):
    listed = exported(tree)
    assert listed is not None, "no __all__"
    assert len(listed) == len(set(listed))
    try:
        module = importlib.import_module(name)
    except MissingDependencyError as exc:
        pytest.skip(str(exc))  # the tests that are marked `frameworks` have it
    assert not [entry for entry in listed if not hasattr(module, entry)]


@every(MODULES)
def test_modules_take_from_each_other_only_what_is_public(name, tree):
    hidden = [
        f"{module}.{entry}"
        for module, entry in imports(tree)
        if module in LISTED
        and f"{module}.{entry}" not in MODULES
        and entry not in (exported(LISTED[module]) or [entry])
    ]
    assert not hidden


@every(MODULES)
def test_module_names_say_something(name, tree):
    last = name.rpartition(".")[2]
    assert last not in SAY_NOTHING
    assert not last.startswith("_") or last == "__main__"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_is_longer_than_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_importing_the_package_loads_nothing_heavy():
    script = "import json, sys, pyloader; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in json.loads(answer.stdout)}
    assert "pyloader" in loaded
    assert not loaded & set(HEAVY)


def test_every_public_name_of_the_package_is_there():
    import pyloader

    missing = [name for name in pyloader.__all__ if getattr(pyloader, name, None) is None]
    assert not missing


def test_type_checkers_see_the_same_public_names():
    import pyloader

    seen = {name for _, name in imports(MODULES["pyloader"]) if name.isidentifier()}
    assert set(pyloader.__all__) - {"__version__"} <= seen


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    import pyloader

    with pytest.raises(AttributeError, match="no_such_name"):
        pyloader.no_such_name  # noqa: B018
