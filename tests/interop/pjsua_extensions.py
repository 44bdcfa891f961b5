"""PJSIP that requires reliable provisionals (RFC 3262) and session timers (RFC 4028) of whom it calls."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from tests.interop import pjsua_peer

__all__ = ("RequiringPeer",)

INTERVAL_S = 90


class RequiringPeer(pjsua_peer.PjsuaPeer):
    """A PJSIP process whose INVITE has ``Require: 100rel, timer``."""

    MODULE: ClassVar[str] = "tests.interop.pjsua_extensions"


def main() -> int:
    """Run the peer until ``quit`` or the end of standard input."""
    import pjsua2 as pj

    from engine.softphone import pjsua

    plain = pjsua.PjsuaPhone._account_config

    def account_config(self: pjsua.PjsuaPhone, identity: str) -> Any:
        config = plain(self, identity)
        config.callConfig.prackUse = pj.PJSUA_100REL_MANDATORY
        config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_REQUIRED
        config.callConfig.timerMinSESec = INTERVAL_S
        config.callConfig.timerSessExpiresSec = INTERVAL_S
        return config

    pjsua.PjsuaPhone._account_config = account_config  # type: ignore[method-assign]
    return pjsua_peer.main()


if __name__ == "__main__":
    sys.exit(main())
