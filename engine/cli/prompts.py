"""``paytone prompts``: render, list and check what callers hear."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from engine.cli.app import ConfigOption, app, fail, load_config
from engine.config import Config
from engine.errors import ConfigError
from engine.log import set_up
from engine.prompt_files import open_prompts
from prompts.assets import fixed_keys
from prompts.errors import PromptError
from prompts.render import (
    Listed,
    Progress,
    check,
    check_store,
    list_directory,
    list_store,
    listing,
    render,
)
from prompts.store import PromptStore

__all__ = ("check_prompts", "list_prompts", "prompts", "render_prompts")

prompts = typer.Typer(help="Render, list and check what callers hear.", no_args_is_help=True)
app.add_typer(prompts, name="prompts")

_Work: TypeAlias = Callable[[PromptStore, Sequence[str]], Awaitable[None]]

LocalesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[LOCALE]...", help="Locales, such as de-DE; without one, all.")
]
DirectoryOption = Annotated[
    Path | None,
    typer.Option(help="Audio in DIRECTORY/LOCALE instead of the configured cache.", show_default=False),
]


@prompts.command(name="render")
def render_prompts(
    locales: LocalesArgument = None,
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    force: Annotated[bool, typer.Option("--force", help="With --directory: render also what has not changed.")] = False,
) -> None:
    """Render what is missing or has changed, so that no call waits for it."""
    if force and directory is None:
        fail(ConfigError("--force wants --directory", remedy="to render the cache anew, delete its directory"))

    async def work(store: PromptStore, wanted: Sequence[str]) -> None:
        count = sum(len(_every_key()) if directory else len(store.missing(locale)) for locale in wanted)
        await store.start()
        with _bar(count) as progress:
            if directory is None:
                await asyncio.gather(*(store.prepare(locale, progress=progress) for locale in wanted))
            else:
                await _into_directory(store, wanted, directory, force=force, progress=progress)
        if store.stats.write_errors:
            raise ConfigError(
                f"{store.stats.write_errors} clips could not be written to {load_config(config).prompts.cache}",
                remedy="free space, or check who owns it",
            )
        typer.echo(f"{len(wanted)} locale(s) are rendered")

    _run(work, locales, config)


async def _into_directory(
    store: PromptStore, wanted: Sequence[str], directory: Path, *, force: bool, progress: Progress
) -> None:
    for locale in wanted:
        texts = store.catalog.resolve(locale).texts
        await render(texts, directory / texts.locale, store.synthesizer, force=force, progress=progress)


@prompts.command(name="list")
def list_prompts(
    locales: LocalesArgument = None,
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
) -> None:
    """List each prompt: seconds, active level (ITU-T P.56) and peak in dBov, where it comes from, text."""

    async def work(store: PromptStore, wanted: Sequence[str]) -> None:
        lines: list[Listed] = []
        for locale in wanted:
            if directory is None:
                lines += await list_store(store, locale)
            else:
                texts = store.catalog.resolve(locale).texts
                lines += list_directory(texts, directory / texts.locale)
        typer.echo(listing(lines, markdown=markdown), nl=False)

    _run(work, locales, config)


@prompts.command(name="check")
def check_prompts(
    locales: LocalesArgument = None,
    config: ConfigOption = None,
    directory: DirectoryOption = None,
) -> None:
    """Report what is missing, stale, too long, too loud, clipped, silent or misread; status 1 when anything is."""
    found: list[str] = []

    async def work(store: PromptStore, wanted: Sequence[str]) -> None:
        for locale in wanted:
            texts = store.catalog.resolve(locale).texts
            faults = check(texts, directory / texts.locale) if directory else await check_store(store, locale)
            found.extend(f"{texts.locale}  {fault}" for fault in faults)
        for fault in found:
            typer.echo(fault, err=True)
        if not found:
            typer.echo(f"{len(wanted)} locale(s): every prompt is there, at its level, and of a sensible length")

    _run(work, locales, config)
    raise typer.Exit(1 if found else 0)


def _run(work: _Work, locales: Sequence[str] | None, path: Path | None) -> None:
    """Open the store of the configuration and work with it; end the command with what goes wrong."""
    config = load_config(path)
    set_up("error", "text")
    try:
        asyncio.run(_with_store(work, locales, config))
    except (ConfigError, PromptError) as error:
        fail(error)
    except OSError as error:
        fail(ConfigError(f"{error.filename or 'a file'}: {error.strerror}", remedy="check the name and permissions"))


async def _with_store(work: _Work, locales: Sequence[str] | None, config: Config) -> None:
    store = open_prompts(config)
    try:
        await work(store, _wanted(store, locales))
    finally:
        await store.close()


def _wanted(store: PromptStore, locales: Sequence[str] | None) -> list[str]:
    known = store.catalog.locales
    for locale in locales or ():
        if store.catalog.resolve(locale).warning:
            raise ConfigError(f"there are no texts for {locale!r}", remedy=f"there are for {', '.join(known)}")
    named = [store.catalog.resolve(locale).texts.locale for locale in locales or known]
    return list(dict.fromkeys(named))


def _every_key() -> list[str]:
    return [str(key) for key in fixed_keys()]


@contextmanager
def _bar(count: int) -> Iterator[Progress]:
    """Show progress on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with typer.progressbar(length=count, label="rendering", file=sys.stderr) as bar:
        yield lambda: bar.update(1)
