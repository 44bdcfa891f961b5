"""The prompts that are shipped as audio: ``assets/<locale>/<key>.ulaw`` and a manifest of what they say.

The manifest holds a hash of the text that each file was rendered from, so a changed text is never answered with the
old recording: it is spoken anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from dsp import g711
from prompts.cache import content_key
from prompts.catalog import LocaleTexts
from prompts.clip import Clip
from prompts.errors import CatalogError
from prompts.keys import PLACEHOLDERS, PromptKey
from prompts.synth.protocol import RENDERER_VERSION

__all__ = ("MANIFEST", "fixed_keys", "load", "read_manifest", "shipped_directory", "text_key")

MANIFEST = "manifest.json"


def shipped_directory(locale: str) -> Traversable:
    """Return where the audio of a locale is shipped; it need not exist."""
    return files("prompts") / "assets" / locale


def fixed_keys() -> Iterator[PromptKey]:
    """Return the keys whose text is always the same, hence can be shipped or rendered before a call."""
    return (key for key in PromptKey if key not in PLACEHOLDERS)


def text_key(texts: LocaleTexts, key: PromptKey) -> str:
    """Return the hash that ties a recording to its text, voice and renderer."""
    return content_key(RENDERER_VERSION, texts.locale, texts.espeak_voice, texts.texts[key])


def read_manifest(directory: Traversable) -> dict[str, str]:
    """Return the manifest's hashes by key, empty when there is none; raise CatalogError when it cannot be read."""
    manifest = directory / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        table = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogError(f"{manifest}: {error}") from None
    if not isinstance(table, dict):
        raise CatalogError(f"{manifest}: not a table of keys")
    return {str(key): str(value) for key, value in table.items()}


def load(texts: LocaleTexts) -> dict[PromptKey, Clip]:
    """Return the shipped clips that say what the texts say; none for a locale without."""
    directory = shipped_directory(texts.locale)
    manifest = read_manifest(directory)
    clips = {}
    for key in fixed_keys():
        if manifest.get(key) != text_key(texts, key):
            continue
        pcmu = (directory / f"{key}.ulaw").read_bytes()
        clips[key] = Clip(name=str(key), pcmu=pcmu, pcma=g711.ulaw_to_alaw(pcmu))
    return clips
