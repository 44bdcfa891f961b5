"""Build the Cython extensions; everything declarative is in pyproject.toml."""

from __future__ import annotations

import os
from glob import glob
from typing import Any

from Cython.Distutils.build_ext import build_ext
from setuptools import Extension, setup

PACKAGES = ("dsp", "sip", "prompts", "engine", "benchmarks")
TRACE = os.environ.get("PAYTONE_TRACE") == "1"  # a build for coverage of .pyx, never for release
# A build that finds faults, never for release: PAYTONE_SANITIZE=address, undefined, thread, or address,undefined.
# Build it into a copy of the tree; run with the runtime before all: LD_PRELOAD=$(gcc -print-file-name=libasan.so).
SANITIZE = os.environ.get("PAYTONE_SANITIZE", "")
# With it, PAYTONE_FUZZ=1 lets tests/fuzz/drive.py see which branches an input takes.
FUZZ = os.environ.get("PAYTONE_FUZZ") == "1"
# While working on one extension: PAYTONE_ONLY="dsp/_g711 engine/media" builds what starts with these.
ONLY = tuple(os.environ.get("PAYTONE_ONLY", "").split())

DIRECTIVES: dict[str, Any] = {
    "language_level": 3,
    "embedsignature": True,
    "freethreading_compatible": False,
    "linetrace": TRACE,
}
# Off: on 3.13 Cython traces through sys.monitoring by default, which coverage's plugin can't see.
TRACE_MACROS: list[tuple[str, str | None]] = [
    ("CYTHON_TRACE", "1"),
    ("CYTHON_TRACE_NOGIL", "1"),
    ("CYTHON_USE_SYS_MONITORING", "0"),
]
# No contraction to fused multiply-add: the golden vectors hold on x86-64 and on aarch64.
# Wider vectors are chosen at run time (target_clones), never by -march=native.
CFLAGS = ["-O0", "-g"] if TRACE else ["-O3", "-ffp-contract=off"]
LDFLAGS: list[str] = []
if SANITIZE:
    # A fault ends the process: what goes on after a report is what nobody reads. -O1: lines and stacks stay true.
    LDFLAGS = [f"-fsanitize={SANITIZE}"]
    CFLAGS += [*LDFLAGS, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-O1", "-g"]
if FUZZ:
    CFLAGS.append("-fsanitize-coverage=trace-pc")


def extensions() -> list[Extension]:
    """Return one Extension per .pyx below the packages; refuse a tree that has none."""
    sources = sorted(p for name in PACKAGES for p in glob(f"{name}/**/*.pyx", recursive=True))
    if not sources:
        raise SystemExit("no .pyx found: this would build a wheel without its compiled parts")
    # A struct that grows changes every module that embeds it: all are built anew when a .pxd changes.
    declarations = sorted(p for name in PACKAGES for p in glob(f"{name}/**/*.pxd", recursive=True))
    exts = []
    for pyx in sources:
        if ONLY and not pyx.startswith(ONLY):
            continue
        ext = Extension(
            pyx.removesuffix(".pyx").replace(os.sep, "."),
            [pyx],
            depends=declarations,
            define_macros=TRACE_MACROS if TRACE else [],
            extra_compile_args=CFLAGS,
            extra_link_args=LDFLAGS,
        )
        ext.cython_directives = DIRECTIVES  # type: ignore[attr-defined]
        exts.append(ext)
    return exts


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": build_ext},
    # The C lies beside the .pyx only in a trace build, where coverage has to read it.
    options={"build_ext": {"cython_c_in_temp": not TRACE}},
)
