"""Search an engine's memory after every kind of payment: ``python -m tests.soak.memory_scan``.

Takes a payment over each connector and lets it end in each way (``tests.support.memory_cases``), on both event loops,
then searches all readable memory of the process for the card or account number, for pieces of it, and for the security
code where it stood, as text of each width and as small integers; its files and its output too. Prints a table and ends
with status 1 when anything was found that must not be there, or when the control, a process that keeps a copy on
purpose, was not found out. Needs root (CAP_SYS_PTRACE); about four minutes on two processors.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.memory_cases import CONNECTORS, ENDS, Case, Finding, cases, examine

__all__ = ("main",)

SHOWN = 10
"Places of hits that are listed for one payment."
CONTROLS = tuple(Case(connector=connector, end="succeeded", leak=True) for connector in CONNECTORS)


async def _examine(case: Case, turn: asyncio.Semaphore) -> Finding:
    async with turn:
        with tempfile.TemporaryDirectory() as folder:
            finding = await examine(case, Path(folder))
        _tell(finding)
        return finding


async def _examine_all(wanted: Sequence[Case], jobs: int) -> list[Finding]:
    turn = asyncio.Semaphore(jobs)
    return await asyncio.gather(*(_examine(case, turn) for case in wanted))


def _tell(finding: Finding) -> None:
    print(_row(finding), flush=True)
    if finding.is_right:
        return
    for encoding, mapping in sorted({(hit.encoding, hit.mapping) for hit in finding.scan.hits})[:SHOWN]:
        print(f"    found as {encoding} in {mapping}")
    print(f"    outcome {finding.outcome!r} for {finding.case.outcome!r}, wiped {finding.wiped}, in {finding.spilled}")
    if finding.before is not None:
        print(f"    before the first key: {len(finding.before.hits)} hits")


def _row(finding: Finding) -> str:
    case, scan = finding.case, finding.scan
    loop = "uvloop" if case.uvloop else "asyncio"
    end = f"{case.end} + leak" if case.leak else case.end
    megabytes = f"{scan.n_bytes / 1e6:9.1f}"
    hits = len(scan.hits) + len(finding.spilled)
    verdict = "as it should be" if finding.is_right else "WRONG"
    return f"{case.connector:12} {end:17} {loop:8} {finding.outcome or '-':10} {megabytes} {hits:5}  {verdict}"


def main() -> int:
    """Run the matrix and return the exit status."""
    parser = argparse.ArgumentParser(description="Search an engine's memory after every kind of payment.")
    parser.add_argument("--connector", choices=CONNECTORS, action="append", help="these only (again for more)")
    parser.add_argument("--end", choices=ENDS, action="append", help="these only (again for more)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="payments at a time")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("reading another process's memory needs root (CAP_SYS_PTRACE)", file=sys.stderr)
        return 2
    wanted = [
        case
        for case in (*CONTROLS, *cases())
        if case.connector in (options.connector or CONNECTORS) and (case.leak or case.end in (options.end or ENDS))
    ]
    print(f"{'connector':12} {'end':17} {'loop':8} {'outcome':10} {'MB read':>9} {'hits':>5}")
    findings = asyncio.run(_examine_all(wanted, options.jobs))
    n_wrong = sum(not finding.is_right for finding in findings)
    n_bytes = sum(finding.scan.n_bytes for finding in findings)
    n_controls = sum(case.leak for case in wanted)
    print(
        f"{len(wanted) - n_controls} payments and {n_controls} controls, {n_bytes / 1e9:.1f} GB of memory searched, "
        f"{n_wrong} not as they should be"
    )
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
