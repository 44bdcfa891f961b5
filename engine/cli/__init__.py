"""The ``paytone`` command: one file a group of commands, each of which puts its commands into ``app``."""

from engine.cli import api, phone, prompts, records, serve, tools, webhooks
from engine.cli.app import app, main
from engine.cli.serve import COLLECT_AFTER

__all__ = ("COLLECT_AFTER", "api", "app", "main", "phone", "prompts", "records", "serve", "tools", "webhooks")
