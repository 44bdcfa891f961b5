"""Commands around the HTTP interface: a certificate for it, and what its requests call the applications."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.api import make_certificate
from engine.cli.app import ConfigOption, app, fail, load_config
from engine.config import AppConfig, NccoApp, SwmlApp, TwimlApp
from engine.errors import ConfigError

__all__ = ("apps", "cert")


@app.command()
def cert(
    directory: Annotated[Path, typer.Argument(help="Where ca.pem, certificate.pem and key.pem go.")],
    host: Annotated[
        list[str] | None, typer.Option(help="A further name or IP address; may be repeated.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Make a certificate for the HTTPS listener, and the authority that clients are to trust.

    It names api.twilio.com, relay.signalwire.com, api.nexmo.com, localhost, 127.0.0.1 and ::1, so that SDKs can be
    led here by the proxy (docs/api.md).
    """
    try:
        files = make_certificate(directory, host or (), force=force)
    except ConfigError as error:
        fail(error)
    typer.echo(f'[api.tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"')
    typer.echo(
        f"# clients trust {files.authority}: REQUESTS_CA_BUNDLE (Python), NODE_EXTRA_CA_CERTS (Node.js)", err=True
    )


@app.command()
def apps(config: ConfigOption = None) -> None:
    """List the applications: the SID or ID by which requests name each, its name, dialect, routes and URL."""
    settings = load_config(config)
    for name, application in settings.apps.items():
        routes = ",".join(route.to for route in settings.routes if route.app == name) or "-"
        sid, source = _identity(name, application)
        typer.echo(f"{sid}  {name}  {application.dialect}  {routes}  {source}")


def _identity(name: str, application: AppConfig) -> tuple[str, str]:
    """Return the SID by which REST requests name an application, and where it is."""
    if isinstance(application, TwimlApp):
        return application.sid_for(name), application.url
    if isinstance(application, SwmlApp):
        return "-", application.url or application.file or "(inline)"
    if isinstance(application, NccoApp):
        return application.id_for(name), application.answer_url or "(inline)"
    return "-", f"context {application.context}"
