"""Render the default prompts that are shipped: ``python -m prompts.render --locale en-US``.

Only what is missing or whose text, voice or renderer has changed is rendered (``--force``: all), since espeak-ng gives
slightly different samples each time. ``--check`` renders nothing and reports what is wrong with the audio there is:
exit status 1 when there is a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

import numpy as np

from dsp import g711, meter
from dsp.errors import NoSpeechError
from prompts.assets import MANIFEST, fixed_keys, read_manifest, shipped_directory, text_key
from prompts.catalog import FALLBACK_LOCALE, Catalog, LocaleTexts
from prompts.clip import RATE_HZ
from prompts.errors import PromptError
from prompts.keys import PromptKey
from prompts.mastering import PEAK_LIMIT_DBOV, TARGET_DBOV
from prompts.synth.espeak import EspeakSynthesizer
from prompts.synth.protocol import Synthesizer

__all__ = ("audio_faults", "check", "main", "render")

DURATION_S = (0.5, 12.0)
LEVEL_TOLERANCE_DB = 1.0
PEAK_TOLERANCE_DB = 0.3  # the coarsest G.711 intervals, at the top, are 3 % wide
END_SILENCE_MS = 150
_SILENCE_BELOW_PEAK_DB = 40.0


def audio_faults(pcmu: bytes) -> list[str]:
    """Return what is wrong with a prompt (mu-law, 8 kHz): length, active level, peak, silence at the ends."""
    duration_s = len(pcmu) / RATE_HZ
    if not DURATION_S[0] <= duration_s <= DURATION_S[1]:
        return [f"{duration_s:.1f} s long, not {DURATION_S[0]:g} to {DURATION_S[1]:g} s"]
    samples = g711.ulaw_decode(pcmu)
    magnitude = np.abs(samples.astype(np.int32))
    peak = int(magnitude.max())
    faults = []
    try:
        level_dbov = meter.active_level_dbov(samples, RATE_HZ)
    except NoSpeechError:
        return ["silent"]
    if abs(level_dbov - TARGET_DBOV) > LEVEL_TOLERANCE_DB:
        faults.append(f"active level {level_dbov:.1f} dBov, not {TARGET_DBOV:g} ± {LEVEL_TOLERANCE_DB:g}")
    peak_dbov = 20 * float(np.log10(peak / 32768))
    if peak_dbov > PEAK_LIMIT_DBOV + PEAK_TOLERANCE_DB:
        faults.append(f"peak {peak_dbov:.1f} dBov, above {PEAK_LIMIT_DBOV:g}")
    loud = np.flatnonzero(magnitude > peak * 10 ** (-_SILENCE_BELOW_PEAK_DB / 20))
    before_ms, after_ms = int(loud[0]) * 1000 // RATE_HZ, (len(samples) - 1 - int(loud[-1])) * 1000 // RATE_HZ
    if max(before_ms, after_ms) > END_SILENCE_MS:
        faults.append(f"{before_ms} ms of silence before and {after_ms} ms after, not up to {END_SILENCE_MS}")
    return faults


def check(texts: LocaleTexts, directory: Path) -> list[str]:
    """Return the faults of a locale's audio: missing or stale prompts, files too many, and `audio_faults` of each."""
    manifest = read_manifest(directory)
    faults = []
    for key in fixed_keys():
        path = directory / f"{key}.ulaw"
        if not path.is_file():
            faults.append(f"{key}: not rendered")
            continue
        if manifest.get(key) != text_key(texts, key):
            faults.append(f"{key}: rendered from another text, voice or renderer")
        faults += [f"{key}: {fault}" for fault in audio_faults(path.read_bytes())]
    expected = {f"{key}.ulaw" for key in fixed_keys()} | {MANIFEST}
    strays = sorted(path.name for path in directory.glob("*") if path.name not in expected)
    return faults + [f"{name}: not the audio of a prompt" for name in strays]


async def render(
    texts: LocaleTexts, directory: Path, synthesizer: Synthesizer, *, force: bool = False
) -> list[PromptKey]:
    """Render into ``directory`` what is missing or stale, and return the keys; raise SynthesisError."""
    directory.mkdir(parents=True, exist_ok=True)
    manifest = {} if force else read_manifest(directory)
    done = []
    for key in fixed_keys():
        path = directory / f"{key}.ulaw"
        if path.is_file() and manifest.get(key) == text_key(texts, key):
            continue
        clip = await synthesizer.synthesize(texts.texts[key], locale=texts.locale, voice="")
        path.write_bytes(clip.pcmu)
        manifest[key] = text_key(texts, key)
        done.append(key)
        sys.stdout.write(f"{texts.locale}  {clip.duration_ms / 1000:5.1f} s  {key}\n")
    table = {str(key): manifest[key] for key in fixed_keys()}
    (directory / MANIFEST).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return done


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m prompts.render", description="Render the shipped prompts.")
    parser.add_argument("--locale", action="append", help=f"may be repeated (default: {FALLBACK_LOCALE})")
    parser.add_argument("--check", action="store_true", help="render nothing, report faults")
    parser.add_argument("--force", action="store_true", help="render also what has not changed")
    parser.add_argument("--directory", type=Path, help="write to DIRECTORY/LOCALE (default: the package's assets)")
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments)
    except PromptError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _run(arguments: argparse.Namespace) -> int:
    catalog = Catalog.load()
    faults = []
    for locale in arguments.locale or [FALLBACK_LOCALE]:
        if locale not in catalog.locales:
            raise PromptError(
                f"there are no texts for {locale!r}", remedy=f"there are for {', '.join(catalog.locales)}"
            )
        texts = catalog.resolve(locale).texts
        parent = arguments.directory
        directory = parent / locale if parent else Path(str(shipped_directory(locale)))
        if not arguments.check:
            done = asyncio.run(_render(texts, directory, catalog, force=arguments.force))
            sys.stdout.write(f"{locale}  {len(done)} rendered in {directory}\n")
        faults += [f"{locale}  {fault}" for fault in check(texts, directory)]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if not faults:
        sys.stdout.write("all prompts are there, at their level, and of a sensible length\n")
    return 1 if faults else 0


async def _render(texts: LocaleTexts, directory: Path, catalog: Catalog, *, force: bool) -> list[PromptKey]:
    synthesizer = EspeakSynthesizer(catalog=catalog)
    try:
        return await render(texts, directory, synthesizer, force=force)
    finally:
        await synthesizer.close()


if __name__ == "__main__":
    sys.exit(main())
