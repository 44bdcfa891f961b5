"""Check the stub of each compiled module against the module itself (mypy's stubtest), for `make lint`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = "\n".join(
    (
        # What Cython adds to every extension type and module, not part of anyone's interface.
        r".*\.__pyx_capi__",
        r".*\.__test__",
        r".*\.__reduce_cython__",
        r".*\.__setstate_cython__",
        r".*\.__pyx_vtable__",
        r".*\.__pyx_unpickle.*",
        r".*\.__reduce__",
        r".*\.__setstate__",
        r".*\.__init__",
    )
)


def main() -> int:
    """Run stubtest over every module that has a .pyx; return its exit status."""
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("dsp", "sip", "prompts", "engine", "benchmarks")
        for path in (ROOT / package).rglob("*.pyx")
    )
    missing = [module for module in modules if not (ROOT / (module.replace(".", "/") + ".pyi")).exists()]
    if missing:
        print(f"no stub (.pyi) beside: {', '.join(missing)}")
        return 1
    allowlist = ROOT / "build" / "stubtest-allowed.txt"
    allowlist.parent.mkdir(exist_ok=True)
    allowlist.write_text(ALLOWED + "\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy.stubtest",
        "--allowlist",
        str(allowlist),
        "--ignore-unused-allowlist",
        "--mypy-config-file",
        str(ROOT / "pyproject.toml"),
        *modules,
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
