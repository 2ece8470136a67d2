"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import errno
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numba
import pytest
from numba.core import caching

import lobproof
from lobproof import errors, jit
from lobproof.store import CALLER_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "lobproof"
SOURCES = sorted(PACKAGE.rglob("*.py"))


def _decorators(tree: ast.Module) -> list[str]:
    """Names of all decorators in a module, without their arguments and modules."""
    texts = [
        ast.unparse(decorator)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
    ]
    return [text.partition("(")[0].rpartition(".")[2] for text in texts]


def test_the_version_heads_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, flags=re.MULTILINE)
    assert released[0] == lobproof.__version__


def test_the_tests_run_on_this_checkout() -> None:
    assert Path(lobproof.__file__).resolve().parent == PACKAGE


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_kernels_live_only_in_modules_of_kernels(path: Path) -> None:
    """The cache of compiled kernels is keyed by the sources of these modules alone."""
    decorators = set(_decorators(ast.parse(path.read_text(encoding="utf-8"))))
    assert not decorators & {"njit", "jit", "vectorize", "guvectorize", "cfunc"}
    if decorators & {"kernel", "inlined", "specialized", "allocating"}:
        assert path.stem.endswith("kernels")


def test_kernels_that_count_no_references_are_given_no_arrays_by_kernels() -> None:
    """Nobody would free one; and Python would free one that was given back to it a second time."""
    kernels: dict[str, tuple[str, str, set[str]]] = {}  # name: decorator, returns, names it uses
    for path in sorted(PACKAGE.rglob("*kernels.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.decorator_list and node.returns:
                used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                (decorator,) = map(ast.unparse, node.decorator_list)
                kernels[node.name] = decorator, ast.unparse(node.returns), used
    arrays = re.compile(r"Int\d+|Float64|Bool|Bytes|Records|Book|Rows|NDArray|Columns")
    makers = {name for name, (_, returns, _) in kernels.items() if arrays.search(returns)}
    users = {name for name, (_, _, used) in kernels.items() if used & makers}
    assert makers, "the names of array types have changed"
    assert users
    counted = {name for name, (decorator, _, _) in kernels.items() if decorator == "allocating"}
    assert makers | users <= counted


def test_the_kernel_cache_follows_the_kernel_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lobproof"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(jit, "_PACKAGE", package)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))

    folders = [jit.cache_folder.__wrapped__()]
    assert folders[0].is_relative_to(tmp_path / "cache")
    (package / "errors.py").write_text("# no kernel here\n", encoding="utf-8")
    assert jit.cache_folder.__wrapped__() == folders[0]

    for source in [*package.rglob("*kernels.py"), *(package / name for name in jit.CONSTANTS)]:
        source.write_text(source.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
        folders.append(jit.cache_folder.__wrapped__())
    (package / "more_kernels.py").write_text("# added\n", encoding="utf-8")
    folders.append(jit.cache_folder.__wrapped__())
    # two modules of one name have changed places
    one, other = package / "book" / "kernels.py", package / "fixedpoint" / "kernels.py"
    texts = one.read_bytes(), other.read_bytes()
    other.write_bytes(texts[0])
    one.write_bytes(texts[1])
    folders.append(jit.cache_folder.__wrapped__())
    assert len(set(folders)) == len(folders)


def _imported(path: Path) -> set[str]:
    """Modules that one imports at any place: of the package their files, of others their names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.ImportFrom) and node.level), "imports are absolute here"
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module)
            found |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    files = set()
    for name in found:
        inside = PACKAGE.joinpath(*name.split(".")[1:])
        if name.split(".")[0] != "lobproof":
            files.add(name.split(".")[0])
        elif inside.with_suffix(".py").is_file():
            files.add(inside.with_suffix(".py").relative_to(PACKAGE).as_posix())
        elif (inside / "__init__.py").is_file():
            files.add((inside / "__init__.py").relative_to(PACKAGE).as_posix())
    return files


def test_kernels_take_nothing_from_beyond_the_modules_that_key_their_cache() -> None:
    """A constant or a function from elsewhere could change, and the old machine code would run."""
    keyed = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*kernels.py")}
    keyed |= set(jit.CONSTANTS)
    modules = {Path(module) for name in keyed for module in _imported(PACKAGE / name)}
    inside = {module.as_posix() for module in modules if module.suffix == ".py"}
    assert inside - keyed == set()
    assert set(jit.CONSTANTS) <= inside, "what no kernel reaches need not key the cache"
    outside = {module.as_posix() for module in modules} - inside
    assert outside - sys.stdlib_module_names == {"llvmlite", "numba", "numpy"}


def test_the_plain_twin_shares_nothing_with_what_it_is_held_against() -> None:
    """Names of things, no rules."""
    shared = {"lobproof.schema", "lobproof.instruments", "lobproof.replay"}
    taken: set[str] = set()
    for path in sorted((ROOT / "tests" / "plain").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("lobproof") for alias in node.names), path
            elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("lobproof"):
                assert node.module in shared, (path, node.module)
                taken |= {alias.name for alias in node.names if node.module != "lobproof.schema"}
            elif isinstance(node, ast.ImportFrom):
                assert not str(node.module).startswith(("support", "fakes")), path
    assert taken == {"Instrument", "Policy"}


def test_the_kernel_cache_is_the_users_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NUMBA_CACHE_DIR", "LOBPROOF_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jit.cache_folder.__wrapped__().parent == tmp_path / "lobproof" / "kernels"


def test_the_benchmarks_know_the_code_that_they_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody runs them all at each change: what was moved or renamed would show months later."""
    monkeypatch.syspath_prepend(ROOT)
    peers = ("peers_worker", "bench_decode", "__main__")  # of other environments; scripts
    modules = {
        path.stem: importlib.import_module(f"benchmarks.{path.stem}")
        for path in sorted((ROOT / "benchmarks").glob("*.py"))
        if path.stem not in peers
    }
    stages = modules["stages"]
    for name, owner, attribute in (*stages._PLAIN, *stages._STREAMS):
        assert callable(getattr(owner, attribute)), name
    assert set(modules["reconstruct_lake"]._SEAL) == set(CALLER_COLUMNS)


def test_a_full_disk_costs_a_kernel_its_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the call: who reads a file by a kernel would take the file for damaged."""

    def refused(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def twice(value: int) -> int:
        return 2 * value

    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", refused)
    assert jit.kernel(twice)(21) == 42
    assert not list(tmp_path.rglob("*.nbi"))
    monkeypatch.undo()
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    assert jit.kernel(twice)(21) == 42
    assert numba.config.DISABLE_JIT or list(tmp_path.rglob("*.nbi"))


def _packages(extra: str) -> list[str]:
    """The packages of an extra, as Python would spell them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [
        re.split(r"[<>=;\[ ]", requirement, maxsplit=1)[0].replace("-", "_")
        for requirement in project["optional-dependencies"][extra]
    ]


def test_the_extras_are_known_by_the_modules_that_they_bring() -> None:
    imported = {
        "python_dotenv": "dotenv",
        "opentelemetry_exporter_otlp_proto_http": "opentelemetry",
        "opentelemetry_sdk": "opentelemetry",
    }
    for extra, modules in errors.EXTRAS.items():
        assert {imported.get(name, name) for name in _packages(extra)} == set(modules)


def _without(modules: list[str], script: str) -> subprocess.CompletedProcess[str]:
    """Run a script where these modules are not to be had."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({modules!r}))\n"
    return subprocess.run([sys.executable, "-c", blocked + script], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["acquire", "test-connection", "--sample"], "acquire"),
        (["acquire", "download", "--help"], "acquire"),
        (["doctor", "--sample"], "acquire"),
        (["serve", "--simulate"], "capture"),
        (["serve", "--help"], "capture"),
        (["capture", "BTCUSDT", "--out", "day"], "capture"),
        (["golden", "check", "nowhere", "--identity", "key.txt"], "encrypt"),
        (["import", "nowhere", "--out", "golden", "--identity", "key.txt"], "encrypt"),
        (["capture", "BTCUSDT", "--out", "day", "--encrypt-to", "age1"], "encrypt"),
        (["demo", "--minutes", "0.1"], "report"),
        (["report", "nowhere"], "report"),
    ],
)
def test_a_command_whose_extra_is_missing_names_it(arguments: list[str], extra: str) -> None:
    script = f"from lobproof.cli import run\nsys.exit(run({arguments!r}))"
    done = _without(list(errors.EXTRAS[extra]), script)
    assert done.returncode == 3
    assert done.stdout == ""
    first, hint = done.stderr.splitlines()
    assert first.startswith("error: this needs the package ")
    assert hint.startswith(f"Hint: pip install 'lobproof[{extra}]'")


@pytest.mark.parametrize("module", ["stamina", "stamina.instrumentation"])
def test_a_missing_extra_is_seen_through_the_errors_around_it(module: str) -> None:
    wrapped = ImportError("cannot import module")
    wrapped.__cause__ = ModuleNotFoundError(name=module)
    outer = ImportError("once more")
    outer.__context__ = wrapped
    assert "lobproof[acquire]" in str(errors.missing_extra(outer))
    assert errors.missing_extra(ImportError("cannot import name")) is None
    assert errors.missing_extra(ModuleNotFoundError(name="lobproof.nowhere")) is None


def test_every_module_imports_without_the_tools_of_the_tests() -> None:
    """And without the packages of the extra ``report``, which only drawing needs."""
    extras = [name for extra in ("test", "lint", "report") for name in _packages(extra)]
    # The coverage of child processes brings its own package along; nothing of ours asks for it.
    blocked = [name for name in extras if name != "coverage"]
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.stem != "__main__"
    ]
    script = f"""
import importlib
for name in {modules!r}:
    importlib.import_module(name)
"""
    done = _without(blocked, script)
    assert done.returncode == 0, done.stderr


def test_every_folder_of_the_package_is_a_package() -> None:
    folders = {path.parent for path in SOURCES}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def _error_types() -> list[type[errors.LobproofError]]:
    found = [errors.LobproofError]
    for kind in found:
        found += [child for child in kind.__subclasses__() if child not in found]
    return found


@pytest.mark.parametrize("kind", _error_types(), ids=lambda kind: kind.__name__)
def test_errors_end_in_a_hint(kind: type[errors.LobproofError]) -> None:
    error = kind("line 3 is cut short", hint="fetch the file again")
    assert str(error) == "line 3 is cut short\nHint: fetch the file again"
    assert isinstance(error, errors.LobproofError)


def test_the_lock_has_hashes_and_no_addresses() -> None:
    lock = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9-]+(?:\[[a-z0-9,-]+\])?==", lock, flags=re.MULTILINE)
    assert len(pins) > 30
    assert lock.count("sha256:") >= len(pins)
    assert "://" not in lock
    assert not re.search(r"^-", lock, flags=re.MULTILINE)


def test_no_page_fetches_the_package_by_its_name() -> None:
    """It is not published: whoever took the name would be installed. The readme says so."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert "pip install 'lobproof" not in page.read_text(), page
