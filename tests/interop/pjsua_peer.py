"""PJSIP as a peer with SRTP, one codec, and its voice activity detector: what `paytone call` does not set in it.

The process speaks the softphone's lines (`engine.softphone.protocol`), so that `PjsuaPeer` is driven like a
`Softphone`. The keys that it hears go to a file, since no line holds any: they are a test's keys and nobody's card.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from engine.errors import SoftphoneError
from engine.softphone.__main__ import LineReader, serve, take_stdout, write_event
from engine.softphone.backend import Emit
from engine.softphone.client import Softphone
from engine.softphone.protocol import Event, Failure
from sip.crypto_attribute import SrtpPolicy

if TYPE_CHECKING:
    from engine.softphone.pjsua import PjsuaPhone

__all__ = ("CODEC_IDS", "PjsuaPeer")

CODEC_IDS = {"PCMU": "PCMU/8000/1", "PCMA": "PCMA/8000/1", "G722": "G722/16000/1"}
PRIORITY = 255


class PjsuaPeer(Softphone):
    """A PJSIP process; ``suite`` is the only one it has (empty: all of its own), ``codec`` the only codec.

    It calls by the transport that a URI names: UDP and TCP always, TLS with the ``authorities`` that it trusts.
    """

    MODULE: ClassVar[str] = "tests.interop.pjsua_peer"

    def __init__(
        self,
        *,
        srtp: SrtpPolicy = SrtpPolicy.OFF,
        suite: str = "",
        codec: str = "PCMU",
        vad: bool = False,
        digits: Path | None = None,
        authorities: Path | None = None,
    ) -> None:
        super().__init__(srtp=srtp, codec=codec)
        self._arguments += ["--suite", suite] if suite else []
        self._arguments += ["--vad"] if vad else []
        self._arguments += ["--digits", str(digits)] if digits is not None else []
        self._arguments += ["--authorities", str(authorities)] if authorities is not None else []


def _phone(options: argparse.Namespace, emit: Emit) -> PjsuaPhone:
    """Make the phone; pjsua2 is imported in the process that runs it only."""
    import pjsua2 as pj

    from engine.softphone import pjsua

    srtp_use = {
        SrtpPolicy.OFF: pj.PJMEDIA_SRTP_DISABLED,
        SrtpPolicy.PREFERRED: pj.PJMEDIA_SRTP_OPTIONAL,  # RTP/AVP with a=crypto
        SrtpPolicy.REQUIRED: pj.PJMEDIA_SRTP_MANDATORY,
    }
    plain_config = pjsua._endpoint_config

    def endpoint_config() -> Any:
        config = plain_config()
        config.medConfig.noVad = not options.vad
        return config

    def heard_digit(_call: Any, prm: Any) -> None:
        with Path(options.digits).open("a", encoding="ascii") as file:
            file.write(prm.digit)

    pjsua._endpoint_config = endpoint_config
    if options.digits:
        # pjsua2 asks the class of the call for its callbacks.
        pjsua._Call.onDtmfDigit = heard_digit

    class Phone(pjsua.PjsuaPhone):
        def start(self) -> None:
            super().start()
            assert self._endpoint is not None
            self._add_transport(pj.PJSIP_TRANSPORT_TCP)
            if options.authorities:
                self._add_transport(pj.PJSIP_TRANSPORT_TLS)
            for codec in self._endpoint.codecEnum2():
                wanted = str(codec.codecId) == CODEC_IDS[options.codec]
                self._endpoint.codecSetPriority(codec.codecId, PRIORITY if wanted else 0)

        def _add_transport(self, kind: int) -> None:
            assert self._endpoint is not None
            config = pj.TransportConfig()
            config.boundAddress = options.host
            if options.authorities:
                config.tlsConfig.CaListFile = options.authorities
                config.tlsConfig.verifyServer = True
            self._endpoint.transportCreate(kind, config)

        def _account_config(self, identity: str) -> Any:
            config = super()._account_config(identity)
            media = config.mediaConfig
            media.srtpUse = srtp_use[SrtpPolicy(options.srtp)]
            media.srtpSecureSignaling = 0  # SIP is over UDP here
            if options.suite:
                media.srtpOpt.cryptos.append(pj.SrtpCrypto())
                media.srtpOpt.cryptos[0].name = options.suite
            return config

    return Phone(emit, host=options.host, sip_port=options.sip_port, audio=False)


def main() -> int:
    """Run the peer until ``quit`` or the end of standard input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend")
    parser.add_argument("--host", required=True)
    parser.add_argument("--sip-port", type=int, required=True)
    parser.add_argument("--srtp", choices=tuple(SrtpPolicy), required=True)
    parser.add_argument("--codec", choices=tuple(CODEC_IDS), required=True)
    parser.add_argument("--suite", default="")
    parser.add_argument("--vad", action="store_true")
    parser.add_argument("--digits", default="")
    parser.add_argument("--authorities", default="")
    options = parser.parse_args()
    events_fd = take_stdout()

    def emit(event: Event) -> None:
        write_event(events_fd, event)

    phone = _phone(options, emit)
    try:
        phone.start()
        serve(phone, LineReader(0), emit)
    except SoftphoneError as error:
        emit(Failure(message=str(error)))
        return 1
    finally:
        phone.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
