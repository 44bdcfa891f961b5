"""Rendering, checking and listing a locale's default prompts, in a directory or in the store: for ``paytone prompts``.

A directory holds ``<key>.ulaw`` and a manifest, as ``prompts/assets/<locale>`` does. Only what is missing or whose
text, voice or renderer has changed is rendered, since espeak-ng gives slightly different samples each time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsp import g711
from prompts.assets import MANIFEST, fixed_keys, read_manifest, text_key
from prompts.audit import Measured, audio_faults, clip_faults, measure, text_faults
from prompts.catalog import LocaleTexts
from prompts.clip import Clip
from prompts.keys import PLACEHOLDERS, PromptKey
from prompts.store import PromptStore
from prompts.synth.protocol import Synthesizer

__all__ = (
    "Listed",
    "Progress",
    "audio_faults",
    "check",
    "check_store",
    "list_directory",
    "list_store",
    "listing",
    "render",
)

Progress = Callable[[], None]
NOT_RENDERED = "not rendered"
"How a fault ends that rendering mends."


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of the listing."""

    locale: str
    key: PromptKey
    source: str
    "``shipped``, ``cache`` or the directory's name; ``-`` when it is not rendered, ``call`` when it is never stored."
    measured: Measured | None
    text: str


def check(texts: LocaleTexts, directory: Path) -> list[str]:
    """Return the faults of a locale in a directory: missing or stale prompts, stray files, audio and texts."""
    manifest = read_manifest(directory)
    faults = []
    for key in fixed_keys():
        path = directory / f"{key}.ulaw"
        faults += [f"{key}: {fault}" for fault in text_faults(texts.texts[key].format())]
        if not path.is_file():
            faults.append(f"{key}: {NOT_RENDERED}")
            continue
        if manifest.get(key) != text_key(texts, key):
            faults.append(f"{key}: rendered from another text, voice or renderer")
        faults += [f"{key}: {fault}" for fault in audio_faults(path.read_bytes())]
    expected = {f"{key}.ulaw" for key in fixed_keys()} | {MANIFEST}
    strays = sorted(path.name for path in directory.glob("*") if path.name not in expected)
    return faults + _faults_of_placeholders(texts) + [f"{name}: not the audio of a prompt" for name in strays]


async def check_store(store: PromptStore, locale: str) -> list[str]:
    """Return the faults of a locale as the engine would play it: missing prompts, audio and texts."""
    texts = store.catalog.resolve(locale).texts
    faults = []
    for key in fixed_keys():
        faults += [f"{key}: {fault}" for fault in text_faults(texts.texts[key].format())]
        clip = await store.cached(key, locale)
        if clip is None:
            faults.append(f"{key}: {NOT_RENDERED}")
        else:
            faults += [f"{key}: {fault}" for fault in await asyncio.to_thread(clip_faults, clip)]
    return faults + _faults_of_placeholders(texts)


def _faults_of_placeholders(texts: LocaleTexts) -> list[str]:
    """Return what would be misread in the texts that are spoken on the call only."""
    return [
        f"{key}: {fault}"
        for key, names in PLACEHOLDERS.items()
        for fault in text_faults(texts.texts[key].format(**dict.fromkeys(names, texts.digits[0])))
    ]


async def render(
    texts: LocaleTexts,
    directory: Path,
    synthesizer: Synthesizer,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> list[PromptKey]:
    """Render into ``directory`` what is missing or stale (``force``: all), and return the keys; raise SynthesisError.

    ``progress`` is called for each key, rendered or not. What was rendered before an error is kept.
    """
    directory.mkdir(parents=True, exist_ok=True)
    manifest = {} if force else read_manifest(directory)
    done = []
    try:
        for key in fixed_keys():
            path = directory / f"{key}.ulaw"
            if not path.is_file() or manifest.get(key) != text_key(texts, key):
                clip = await synthesizer.synthesize(texts.texts[key].format(), locale=texts.locale, voice="")
                path.write_bytes(clip.pcmu)
                manifest[key] = text_key(texts, key)
                done.append(key)
            if progress is not None:
                progress()
    finally:
        table = {str(key): manifest[key] for key in fixed_keys() if key in manifest}
        (directory / MANIFEST).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return done


def list_directory(texts: LocaleTexts, directory: Path) -> list[Listed]:
    """Return a line for each prompt of a locale, as a directory has it."""
    lines = []
    for key in PromptKey:
        path = directory / f"{key}.ulaw"
        data = path.read_bytes() if key not in PLACEHOLDERS and path.is_file() else b""
        clip = Clip(name=str(key), pcmu=data, pcma=g711.ulaw_to_alaw(data)) if data else None
        lines.append(_listed(texts, key, clip, directory.name))
    return lines


async def list_store(store: PromptStore, locale: str) -> list[Listed]:
    """Return a line for each prompt of a locale, as the engine would play it; renders nothing."""
    texts = store.catalog.resolve(locale).texts
    lines = []
    for key in PromptKey:
        clip = await store.cached(key, locale)
        source = "shipped" if store.shipped(key, locale) else "cache"
        lines.append(await asyncio.to_thread(_listed, texts, key, clip, source))
    return lines


def _listed(texts: LocaleTexts, key: PromptKey, clip: Clip | None, source: str) -> Listed:
    return Listed(
        locale=texts.locale,
        key=key,
        source="call" if key in PLACEHOLDERS else source if clip else "-",
        measured=measure(clip.pcmu) if clip else None,
        text=texts.texts[key],
    )


def listing(lines: Iterable[Listed], *, markdown: bool = False) -> str:
    """Return a table: locale, key, seconds, active level and peak in dBov, source, text."""
    head = ("locale", "key", "s", "level", "peak", "from", "text")
    rows = [(line.locale, str(line.key), *_figures(line.measured), line.source, line.text) for line in lines]
    if markdown:
        ruled = (head, ("---", "---", "---:", "---:", "---:", "---", "---"), *rows)
        return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in ruled)
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "".join(_aligned(row, widths) + "\n" for row in (head, *rows))


def _figures(found: Measured | None) -> tuple[str, str, str]:
    if found is None:
        return "-", "-", "-"
    return f"{found.seconds:.2f}", f"{found.active_level_dbov:.1f}", f"{found.peak_dbov:.1f}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
