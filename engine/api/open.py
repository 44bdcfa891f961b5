"""Opening the HTTP interface of an engine: which resources there are, and what they work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from engine.api.deps import ApiDeps, Resource
from engine.api.proxy import ConnectProxy
from engine.api.relay import server as relay
from engine.api.server import ApiServer
from engine.api.twilio import accounts, recordings
from engine.api.twilio.calls import Calls, RecordCall
from engine.api.twilio.live import LiveCalls
from engine.api.vonage import calls as voice
from engine.api.vonage import control, files
from engine.api.vonage.tokens import has_voice
from engine.config import Config
from engine.events import EngineEvent
from engine.ledger import Ledger
from engine.program import Exchange
from engine.programs.context import ProgramContext
from engine.programs.relay.hub import RelayHub

__all__ = ("Api", "open_api")


class Api:
    """The interface of an engine that runs, with the proxy that leads vendors' SDKs to it if there is one."""

    def __init__(self, server: ApiServer, proxy: ConnectProxy | None) -> None:
        self.server = server
        self.proxy = proxy

    async def stop(self) -> None:
        """Take no more requests, let those under way finish, close."""
        if self.proxy is not None:
            await self.proxy.stop()
        await self.server.stop()


async def open_api(
    config: Config,
    *,
    exchange: Exchange,
    ledger: Ledger,
    context: ProgramContext,
    observe: Callable[[Callable[[EngineEvent], None]], None],
    resources: Sequence[Resource] = (),
    record: RecordCall | None = None,
    hub: RelayHub | None = None,
) -> Api:
    """Listen as ``[api]`` says and serve; raise ``ConfigError`` with the remedy when it cannot be.

    ``observe`` is ``Engine.observe``; ``resources`` are those beside calls and accounts; ``record`` begins a recording
    that was ordered with a call, None where the engine records nothing; ``hub`` has the clients of RELAY, None where
    there is none. Without ``[twilio]`` there is nothing of its resources but what calls recorded, for a project; the
    Voice API is there where an NCCO application has a public key.
    """
    live = LiveCalls(exchange, clock=context.clock)
    observe(live.observe)
    deps = ApiDeps(config=config, exchange=exchange, ledger=ledger, context=context)
    calls = Calls(live, record=record)
    if deps.account_sid:
        served = [accounts.add_routes, calls.add_routes, *resources]
    else:
        served = [recordings.add_audio_routes]
    if has_voice(config):
        served += [voice.Calls(live.known).add_routes, control.add_routes, files.add_routes]
    public = []
    if hub is not None:
        served.append(partial(relay.add_routes, hub=hub))
        public.append(relay.PATH)
    server = await ApiServer.start(deps, served, public=public)
    proxy = None
    if config.api.proxy_listen and server.https_address is not None:
        try:
            proxy = await ConnectProxy.start(config.api.proxy_listen, server.https_address)
        except BaseException:
            await server.stop()
            raise
    return Api(server, proxy)
