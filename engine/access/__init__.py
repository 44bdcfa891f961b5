"""Who may ask something of this engine over SIP: the rules of the configuration, passwords, and bans."""

from __future__ import annotations

from engine.access.bans import Ban, BanBook, Evidence
from engine.access.gate import Access, open_access

__all__ = ("Access", "Ban", "BanBook", "Evidence", "open_access")
