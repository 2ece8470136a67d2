"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lobproof
from lobproof import errors, jit

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
    if "kernel" in decorators:
        assert path.stem.endswith("kernels")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_small(path: Path) -> None:
    lines = path.read_bytes().count(b"\n")
    assert lines < 400


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

    source = next(package.rglob("*kernels.py"))
    source.write_text(source.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    folders.append(jit.cache_folder.__wrapped__())
    (package / "more_kernels.py").write_text("# added\n", encoding="utf-8")
    folders.append(jit.cache_folder.__wrapped__())
    assert len(set(folders)) == 3


def test_the_kernel_cache_is_the_users_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jit.cache_folder.__wrapped__().parent == tmp_path / "lobproof" / "kernels"


def test_every_module_imports_without_the_tools_of_the_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        re.split(r"[<>=;\[ ]", requirement, maxsplit=1)[0].replace("-", "_")
        for extra in ("test", "lint")
        for requirement in project["optional-dependencies"][extra]
    ]
    # The coverage of child processes brings its own package along; nothing of ours asks for it.
    blocked = [name for name in extras if name != "coverage"]
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.stem != "__main__"
    ]
    script = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({blocked!r}))
for name in {modules!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
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
    pins = re.findall(r"^[a-z0-9-]+==", lock, flags=re.MULTILINE)
    assert len(pins) > 30
    assert lock.count("sha256:") >= len(pins)
    assert "://" not in lock
    assert not re.search(r"^-", lock, flags=re.MULTILINE)
