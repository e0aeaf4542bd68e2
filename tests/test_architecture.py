"""The architecture, as tests: who may import whom, and what every module keeps to."""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from pyloader.errors import MissingDependencyError

PACKAGE = Path(__file__).resolve().parents[1] / "pyloader"
PATHS = sorted(PACKAGE.rglob("*.py"))

# From the bottom to the top.  A module may import from its own layer and from those below.
LAYERS = [
    {"errors", "lazy", "markup", "options", "ragged", "columns", "part", "machine", "thread_safety", "world"},
    {"files", "plan"},
    {"datareader", "dataset", "datacollator", "read", "shuffle", "encode", "collate", "packing", "mixture"},
    {"deliver"},
    {"write"},
    {"observe", "audit"},  # no step knows them
    {"run"},
    {"dataloader", "indexed", "jax", "ray", "torch", "tensorflow", "compat"},  # the doors; compat: what they name
    {"testing", "demo", "inspecting"},
    {"", "cli", "__main__"},  # "" is pyloader/__init__.py, the map
]

CONCURRENCY = {"_thread", "asyncio", "concurrent", "multiprocessing", "queue", "subprocess", "threading"}
LOCKS = {"Lock", "RLock", "local"}  # a lock is no thread
HEAVY = [
    "PIL",
    "array_record",
    "cloudpickle",
    "cykooz_resizer",
    "datasets",
    "fsspec",
    "google_crc32c",
    "h5py",
    "jax",
    "lance",
    "matplotlib",
    "numcodecs",
    "obstore",
    "opentelemetry",
    "polars",
    "prometheus_client",
    "pyarrow",
    "ray",
    "rich",
    "simplejpeg",
    "tensorflow",
    "tiktoken",
    "tokenizers",
    "torch",
]
SAY_NOTHING = {"base", "common", "core", "helpers", "misc", "util", "utils"}
DERIVED = {"Philox", "Generator", "PCG64", "SeedSequence"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): ast.parse(path.read_text()) for path in PATHS}
LISTED = {name: tree for name, tree in MODULES.items() if name != "pyloader.__main__"}


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for each import, wherever it stands; name is "" for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the whole name instead of a relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def aliases(tree: ast.Module) -> Iterator[ast.alias]:
    """Yield what is imported from modules, with the names that it gets."""
    yield from (alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names)


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
    """Return what `__all__` lists; None when there is none.

    Where it is computed, of a table of what is imported when it is used, these are the names that type checkers see.
    """
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            if isinstance(node.value, ast.Call):  # type: ignore[attr-defined]
                return [alias.name for alias in aliases(tree) if alias.asname == alias.name]
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def offenders(
    finds: Callable[[str, ast.Module], Iterable[str]], modules: dict[str, ast.Module] = MODULES
) -> dict[str, list[str]]:
    """Return what a rule finds wrong, by module; empty when all keep to it."""
    found = {name: sorted(finds(name, tree)) for name, tree in modules.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.slow
def test_every_module_has_its_layer_and_imports_none_above():
    assert not [name for name in MODULES if layer(name) < 0], "these have no place in LAYERS"
    assert not offenders(lambda name, tree: {used for used in imported_modules(tree) if layer(used) > layer(name)})


@pytest.mark.slow
def test_only_the_doors_name_what_is_compatible_with_others():
    def compatible(name: str, tree: ast.Module) -> set[str]:
        doors = {"pyloader.indexed", "pyloader.jax", "pyloader.jax.datasets"}
        if name in doors or name.startswith("pyloader.compat"):
            return set()
        return {used for used in imported_modules(tree) if used.startswith("pyloader.compat")}

    assert not offenders(compatible)


@pytest.mark.slow
def test_no_two_modules_import_each_other():
    # The map is left out: it imports everything, and everything is imported after it.
    uses = {name: imported_modules(tree) - {name, "pyloader"} for name, tree in MODULES.items() if name != "pyloader"}
    graphlib.TopologicalSorter(uses).prepare()  # raises CycleError, which shows the cycle


@pytest.mark.slow
def test_only_deliver_knows_about_threads_and_processes():
    def concurrent(name: str, tree: ast.Module) -> set[str]:
        if name.startswith(("pyloader.deliver", "pyloader.testing")):
            return set()
        used = {(module, entry) for module, entry in imports(tree) if module.partition(".")[0] in CONCURRENCY}
        return {".".join(use) for use in used - {("threading", lock) for lock in LOCKS}}

    assert not offenders(concurrent)


@pytest.mark.slow
def test_nothing_sleeps():
    """But for the slow disk that is a fault, a worker process that is given a second to end by itself, and a store that
    is asked again what it holds, before there are steps that could be closed."""

    def sleeps(name: str, tree: ast.Module) -> set[str]:
        if name in ("pyloader.testing.faults", "pyloader.deliver.worker", "pyloader.files.fetching"):
            return set()
        disguised = {use for use in dotted_uses(tree) if use.endswith("Event().wait")}
        return disguised | {"time.sleep"} & ({".".join(use) for use in imports(tree)} | dotted_uses(tree))

    assert not offenders(sleeps)


@pytest.mark.slow
def test_randomness_is_derived_and_never_global():
    def drawn(name: str, tree: ast.Module) -> set[str]:
        if name.startswith("pyloader.demo"):
            return set()
        uses = {use.removeprefix("np.random.") for use in dotted_uses(tree) if use.startswith("np.random.")}
        return {use.partition(".")[0] for use in uses} - DERIVED | {module for module, _ in imports(tree)} & {"random"}

    assert not offenders(drawn)


@pytest.mark.slow
def test_only_the_command_line_prints():
    def prints(name: str, tree: ast.Module) -> set[str]:
        return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"print"}

    assert not offenders(prints, {name: tree for name, tree in MODULES.items() if not name.startswith("pyloader.cli")})


@pytest.mark.slow
def test_no_object_is_finalised_by_del():
    def finalisers(name: str, tree: ast.Module) -> set[str]:
        return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} & {"__del__"}

    assert not offenders(finalisers)


def test_every_module_says_what_it_is():
    assert not [name for name, tree in MODULES.items() if not (ast.get_docstring(tree) or "").strip()]


def test_every_module_lists_what_is_public_and_has_it():
    def missing(name: str, tree: ast.Module) -> set[str]:
        listed = exported(tree)
        if listed is None:
            return {"no __all__"}
        try:
            module = importlib.import_module(name)
        except MissingDependencyError:  # the tests that are marked `frameworks` have it
            return set()
        twice = {entry for entry in listed if listed.count(entry) > 1}
        return twice | {entry for entry in listed if not hasattr(module, entry)}

    assert not offenders(missing, LISTED)


@pytest.mark.slow
def test_modules_take_from_each_other_only_what_is_public():
    def hidden(name: str, tree: ast.Module) -> set[str]:
        return {
            f"{module}.{entry}"
            for module, entry in imports(tree)
            if module in LISTED
            and f"{module}.{entry}" not in MODULES
            and entry not in (exported(LISTED[module]) or [entry])
        }

    assert not offenders(hidden)


def test_module_names_say_something():
    names = {name: name.rpartition(".")[2] for name in MODULES if not name.endswith(".__main__")}
    assert not [name for name, last in names.items() if last in SAY_NOTHING or last.startswith("_")]


def test_no_module_is_longer_than_400_lines():
    assert not [str(path) for path in PATHS if len(path.read_text().splitlines()) > 400]


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


def test_the_doors_list_the_names_that_type_checkers_see():
    def unlike(name: str, tree: ast.Module) -> set[str]:
        return set(exported(tree) or []) ^ set(importlib.import_module(name).__all__)

    assert not offenders(unlike, {"pyloader.indexed": MODULES["pyloader.indexed"]})


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    import pyloader

    with pytest.raises(AttributeError, match="no_such_name"):
        pyloader.no_such_name  # type: ignore[attr-defined]  # noqa: B018
