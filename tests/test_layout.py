"""The house rules that import-linter cannot see: compiled modules, sizes, exports, relative imports of .pyx."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dsp", "sip", "prompts", "engine")
MODULES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))
COMPILED = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.p[yx][xd]"))
MAY_IMPORT = {
    "dsp": {"dsp"},
    "sip": {"sip"},
    "prompts": {"prompts", "dsp"},
    "engine": {"engine", "prompts", "sip", "dsp"},
}
CORES = ("dsp", "sip", "engine/rtp", "engine/pay")
BANNED = {"asyncio", "socket", "ssl", "time", "os", "random", "secrets", "uuid", "logging", "threading", "httpx"}
MAX_LINES = 600
MAX_LINES_COMPILED = 700


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(text: str) -> set[str]:
    found = re.findall(r"^\s*(?:from|cimport|import)\s+([A-Za-z_][\w.]*)", text, re.MULTILINE)
    return {name.split(".")[0] for name in found}


@pytest.mark.parametrize("path", COMPILED, ids=_name)
def test_a_compiled_module_imports_only_what_its_package_may(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    ours = _imports(path.read_text()) & set(PACKAGES)
    assert ours <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", [p for p in COMPILED if _name(p).startswith(CORES)], ids=_name)
def test_a_compiled_core_is_sans_io(path: Path) -> None:
    assert not _imports(path.read_text()) & BANNED


@pytest.mark.parametrize("path", [p for p in COMPILED if p.suffix == ".pyx"], ids=_name)
def test_a_compiled_module_has_a_stub(path: Path) -> None:
    assert path.with_suffix(".pyi").exists()


@pytest.mark.parametrize("path", MODULES + COMPILED, ids=_name)
def test_a_module_stays_readable_in_one_sitting(path: Path) -> None:
    limit = MAX_LINES if path.suffix == ".py" else MAX_LINES_COMPILED
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize(
    "path", [p for p in MODULES if not p.name.startswith("_") and "migrations" not in p.parts], ids=_name
)
def test_a_public_module_names_its_exports(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            names = ast.literal_eval(node.value)
            assert isinstance(names, tuple)
            return
    pytest.fail("no __all__")


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=_name)
def test_a_package_holds_imports_and_exports_only(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert is_docstring or isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)


def test_the_modules_were_found() -> None:
    assert len(MODULES) > 40
    assert len(COMPILED) > 5
