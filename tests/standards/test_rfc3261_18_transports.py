"""RFC 3261 §18 (transports) and RFC 5923 (connection reuse), on sockets of loopback."""

from __future__ import annotations

import asyncio
import re

import pytest

import engine.net.transports
from engine.net.stream import BURST, LINGER_S, UNREAD_S
from engine.net.transports import ConnectionLimits
from sip.address import Address, Transport
from sip.events import InviteReceived, SessionEnded
from sip.message import Request, Response
from sip.parser import MAX_MESSAGE, parse_message
from tests.support.sip_peer import Caller
from tests.support.sip_sockets import LOOPS, Datagrams, Server, Stream, listening, options, run

both_loops = pytest.mark.parametrize("loop", LOOPS)


# -- §18: UDP and TCP both ---------------------------------------------------------------------------------------------


@both_loops
def test_an_address_without_a_transport_takes_udp_and_tcp_on_one_port(loop: str) -> None:
    async def test() -> None:
        async with listening("127.0.0.1:0") as sockets, Datagrams.open() as peer:
            port = sockets.port(Transport.TCP)
            assert port == sockets.port(Transport.UDP)
            stream = await Stream.to(port)
            assert (await stream.ask()).status == 200
            peer.send(options(via=f"UDP 127.0.0.1:{peer.port}"), port)
            assert (await peer.queue.get()).startswith(b"SIP/2.0 200 ")
            await stream.close()

    run(loop, test)


@both_loops
def test_ipv6_is_taken_next_to_ipv4_on_the_same_port_number(loop: str) -> None:
    async def test() -> None:
        async with listening("127.0.0.1:0") as first:
            port = first.port(Transport.UDP)
            async with listening(f"[::1]:{port}") as sockets, Datagrams.open(host="::1") as peer:
                stream = await Stream.to(port, host="::1")
                response = await stream.ask(options(via="TCP [::1]:5060"))
                assert (response.status, response.via.host) == (200, "::1")
                peer.send(options(via=f"UDP [::1]:{peer.port}"), sockets.port(Transport.UDP), "::1")
                assert (await peer.queue.get()).startswith(b"SIP/2.0 200 ")
                await stream.close()

    run(loop, test)


def test_a_source_that_is_not_allowed_gets_no_connection() -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0", allow=("10.0.0.0/8",)) as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            assert await stream.end() == b""
            assert sockets.transports.connections == 0
            await stream.close()

    run("asyncio", test)


# -- §18.2.2: responses ------------------------------------------------------------------------------------------------


@both_loops
def test_responses_go_back_on_the_connection_of_their_request(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            streams = [await Stream.to(sockets.port(Transport.TCP)) for _ in range(5)]
            for number, stream in enumerate(streams):
                # Neither the Via's host nor its port leads anywhere: only the connection does.
                stream.writer.write(options(via="TCP 203.0.113.9:9", branch=f"z9hG4bK{number}"))
            for number, stream in enumerate(streams):
                response = await stream.response()
                assert (response.status, response.via.branch) == (200, f"z9hG4bK{number}")
                assert response.via.received == "127.0.0.1"
                await stream.close()

    run(loop, test)


@both_loops
def test_a_response_whose_connection_is_gone_goes_by_a_new_one_to_the_sent_by(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets, Server.open() as server:
            stream = await Stream.to(sockets.port(Transport.TCP))
            invite = Caller().invite()
            invite.headers.set("Via", f"SIP/2.0/TCP 127.0.0.1:{server.port};branch=z9hG4bKgone")
            stream.writer.write(invite.serialize())
            received = await sockets.event(InviteReceived)
            await stream.close()
            while sockets.transports.connections:
                await asyncio.sleep(0)
            sockets.endpoint.reject(received.session, 486, asyncio.get_running_loop().time())
            sockets.transports.flush()
            assert (await (await server.taken.get()).response()).status == 486

    run(loop, test)


@both_loops
def test_who_asks_and_closes_its_side_at_once_still_gets_the_answer(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            assert (await stream.ask()).status == 200
            (connection,) = sockets.transports._flows.values()
            # Both in one turn of the loop, as a loop may see them.
            connection.data_received(options(branch="z9hG4bKlast"))
            connection.eof_received()
            assert b"z9hG4bKlast" in await stream.end()

    run(loop, test)


# -- §18.3: framing ----------------------------------------------------------------------------------------------------


@both_loops
def test_a_drip_and_a_burst_are_answered_alike(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            for octet in options():
                stream.writer.write(bytes([octet]))
                await stream.writer.drain()
                await asyncio.sleep(0)
            assert (await stream.response()).status == 200
            stream.writer.write(b"".join(options(branch=f"z9hG4bK{number}") for number in range(50)))
            assert [(await stream.response()).via.branch for _ in range(50)] == [f"z9hG4bK{n}" for n in range(50)]
            await stream.close()

    run(loop, test)


@both_loops
@pytest.mark.parametrize(
    ("length", "status"), [("", 400), ("Content-Length: x\r\n", 400), (f"Content-Length: {MAX_MESSAGE}\r\n", 413)]
)
def test_a_message_that_cannot_be_framed_is_refused_and_the_connection_closed(
    loop: str, length: str, status: int
) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            # The good one before is answered first; what comes behind must not reset the refusal away.
            stream.writer.write(options(branch="z9hG4bKgood") + options(length=length) + b"x" * 100_000)
            assert (await stream.response()).via.branch == "z9hG4bKgood"
            assert (await stream.response()).status == status
            assert await stream.end() == b""
            await stream.close()

    run(loop, test)


@both_loops
@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", bytes(range(128, 256))])
def test_garbage_closes_its_connection_and_no_other(loop: str, data: bytes) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            good, bad = [await Stream.to(sockets.port(Transport.TCP)) for _ in range(2)]
            bad.writer.write(data)
            assert await bad.end() == b""
            assert (await good.ask()).status == 200
            await good.close()
            await bad.close()

    run(loop, test)


@both_loops
def test_a_malformed_message_that_is_framed_gets_400_and_the_connection_stays(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            assert (await stream.ask(options().replace(b"Max-Forwards: 70", b"Max-Forwards: x"))).status == 400
            assert (await stream.ask()).status == 200
            await stream.close()

    run(loop, test)


@both_loops
def test_half_a_message_and_a_close_leave_nothing_behind(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            stream.writer.write(options()[:-10])
            await stream.close()
            while sockets.transports.connections:
                await asyncio.sleep(0)
            assert sockets.endpoint.statistics.parse_errors == 0
            assert not sockets.transports._by_source
            assert not sockets.transports._by_key

    run(loop, test)


# -- §18.1.1: large requests, and connections that we open -------------------------------------------------------------


@both_loops
def test_a_request_above_the_mtu_goes_by_tcp(loop: str) -> None:
    async def test() -> None:
        async with listening() as sockets, Server.open() as server, Datagrams.open(server.port) as peer:
            sockets.call(Address("127.0.0.1", server.port), **{"X-Pad": "x" * 1500})
            request = await (await server.taken.get()).request()
            assert (request.method, request.via.transport) == ("INVITE", "TCP")
            assert request.via.port == sockets.port(Transport.TCP)
            assert peer.queue.empty()

    run(loop, test)


@both_loops
def test_a_request_above_the_mtu_falls_back_to_udp_when_tcp_is_refused(loop: str) -> None:
    async def test() -> None:
        async with listening() as sockets, Datagrams.open() as peer:
            sockets.call(Address("127.0.0.1", peer.port), **{"X-Pad": "x" * 1500})
            request = parse_message(await peer.queue.get())
            assert isinstance(request, Request)
            assert request.via.transport == "UDP"

    run(loop, test)


@both_loops
def test_a_request_above_the_mtu_falls_back_to_udp_when_tcp_does_not_answer_in_time(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        monkeypatch.setattr(engine.net.transports, "CONNECT_S", 0.05)

        async def never(*args: object, **kwargs: object) -> None:
            await asyncio.Event().wait()

        async with listening() as sockets, Datagrams.open() as peer:
            monkeypatch.setattr(sockets.transports, "_loop", _Loop(never), raising=True)
            sockets.call(Address("127.0.0.1", peer.port), **{"X-Pad": "x" * 1500})
            assert (await peer.queue.get()).startswith(b"INVITE ")

    run(loop, test)


class _Loop:
    """The running loop, whose connections do not come about."""

    def __init__(self, create_connection: object) -> None:
        self._real = asyncio.get_running_loop()
        self.create_connection = create_connection

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


@both_loops
def test_one_connection_serves_all_requests_to_a_peer_and_its_responses_come_back_on_it(loop: str) -> None:
    async def test() -> None:
        async with listening() as sockets, Server.open() as server:
            for _ in range(3):
                sockets.call(server.address())
            stream = await server.taken.get()
            requests = [await stream.request() for _ in range(3)]
            assert len({request.call_id for request in requests}) == 3
            for request in requests:
                stream.writer.write(Response.to_request(request, 486, to_tag="busy").serialize())
            for _ in range(3):
                assert (await stream.request()).method == "ACK"
            assert server.taken.empty()
            assert sockets.transports.connections == 1

    run(loop, test)


@both_loops
def test_after_a_peer_closed_the_next_request_opens_a_new_connection(loop: str) -> None:
    async def test() -> None:
        async with listening() as sockets, Server.open() as server:
            sockets.call(server.address())
            first = await server.taken.get()
            await first.request()
            await first.close()
            ended = await sockets.event(SessionEnded)  # no answer can come any more
            assert ended.cause
            sockets.call(server.address())
            assert (await (await server.taken.get()).request()).method == "INVITE"

    run(loop, test)


@both_loops
def test_a_request_in_a_dialog_reaches_a_server_again_whose_connection_broke(loop: str) -> None:
    async def test() -> None:
        async with listening() as sockets, Server.open() as server:
            session = sockets.call(server.address())
            first = await server.taken.get()
            invite = await first.request()
            response = Response.to_request(invite, 200, to_tag="1")
            response.headers.set("Contact", f"<sip:peer@127.0.0.1:{server.port};transport=tcp>")
            response.headers.set("Content-Type", "application/sdp")
            response.body = invite.body
            first.writer.write(response.serialize())
            assert (await first.request()).method == "ACK"
            await first.close()
            while sockets.transports.connections:
                await asyncio.sleep(0)
            sockets.endpoint.hang_up(session, asyncio.get_running_loop().time())
            sockets.transports.flush()
            second = await server.taken.get()
            bye = await second.request()
            assert bye.method == "BYE"
            second.writer.write(Response.to_request(bye, 200).serialize())
            await sockets.event(SessionEnded)

    run(loop, test)


@both_loops
def test_a_request_for_a_listener_leaves_by_its_address(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0", "tcp:127.0.0.2:0") as sockets, Server.open() as server:
            sockets.call(server.address()._replace(listener=2))
            stream = await server.taken.get()
            assert stream.writer.get_extra_info("peername")[0] == "127.0.0.2"
            assert (await stream.request()).via.host == "127.0.0.2"

    run(loop, test)


@both_loops
def test_a_request_to_where_nobody_listens_fails_at_once(loop: str) -> None:
    async def test() -> None:
        async with listening() as sockets:
            async with Server.open() as server:
                address = server.address()
            sockets.call(address)
            await sockets.event(SessionEnded)
            assert not sockets.transports._by_key

    run(loop, test)


# -- limits ------------------------------------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("limits", [ConnectionLimits(maximum=2), ConnectionLimits(by_source=2)])
def test_connections_above_the_limit_are_refused_until_one_closes(loop: str, limits: ConnectionLimits) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0", limits=limits) as sockets:
            streams = [await Stream.to(sockets.port(Transport.TCP)) for _ in range(2)]
            for stream in streams:
                assert (await stream.ask()).status == 200
            refused = await Stream.to(sockets.port(Transport.TCP))
            assert await refused.end() == b""
            await refused.close()
            await streams[0].close()
            while sockets.transports.connections == 2:
                await asyncio.sleep(0)
            again = await Stream.to(sockets.port(Transport.TCP))
            assert (await again.ask()).status == 200
            await again.close()
            await streams[1].close()

    run(loop, test)


@both_loops
def test_a_peer_that_keeps_sending_after_its_refusal_is_cut_off(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            assert (await stream.ask(options(length=""))).status == 400
            stream.writer.write(b"x" * 1000)
            assert sockets.transports.connections == 1
            sockets.transports.tend(asyncio.get_running_loop().time() + LINGER_S)
            while sockets.transports.connections:
                await asyncio.sleep(0)

    run(loop, test)


@both_loops
def test_a_peer_that_sends_and_does_not_read_holds_up_nobody_and_is_closed(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            deaf, good = [await Stream.to(sockets.port(Transport.TCP)) for _ in range(2)]
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            deaf.writer.write(options() * 100_000)  # some 40 MB of answers: more than the kernel takes for both ends
            assert (await good.ask()).status == 200
            (connection,) = [
                one
                for one in sockets.transports._flows.values()
                if one.peer.port == deaf.writer.get_extra_info("sockname")[1]
            ]
            while connection._choked_at is None:
                await asyncio.sleep(0)
            taken = sockets.endpoint.statistics.datagrams_in
            assert (await good.ask()).status == 200
            assert sockets.endpoint.statistics.datagrams_in <= taken + 1 + BURST
            sockets.transports.tend(connection._choked_at + UNREAD_S)
            assert (await good.ask()).status == 200
            assert sockets.transports.connections == 1

    run(loop, test)


@both_loops
def test_a_peer_for_which_too_much_waits_is_closed(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            deaf = await Stream.to(sockets.port(Transport.TCP))
            assert (await deaf.ask()).status == 200
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            (connection,) = sockets.transports._flows.values()
            sent = 0
            while connection.send(bytes(10_000)):
                sent += 1
                assert sent < 4000  # 40 MB
                await asyncio.sleep(0)
            while sockets.transports.connections:
                await asyncio.sleep(0)

    run(loop, test)


@both_loops
def test_a_burst_of_thousands_is_answered_and_others_get_their_turn(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            busy, good = [await Stream.to(sockets.port(Transport.TCP)) for _ in range(2)]
            count = 3000
            busy.writer.write(b"".join(options(branch=f"z9hG4bK{number}") for number in range(count)))
            while not sockets.endpoint.statistics.datagrams_in:
                await asyncio.sleep(0)
            assert (await good.ask()).status == 200
            assert sockets.endpoint.statistics.datagrams_in < count
            branches = [(await busy.response()).via.branch for _ in range(count)]
            assert branches == [f"z9hG4bK{number}" for number in range(count)]

    run(loop, test)


def test_what_raises_in_a_handler_or_in_the_core_costs_one_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            real = sockets.endpoint.receive_datagram

            def broken(data: bytes, source: Address, now: float) -> None:
                if b"z9hG4bKbad" in data:
                    raise ValueError("4111111111111111")
                real(data, source, now)

            monkeypatch.setattr(sockets.endpoint, "receive_datagram", broken)
            stream.writer.write(options(branch="z9hG4bKbad"))
            assert (await stream.ask()).status == 200
            await stream.close()

    run("asyncio", test)
    assert "could not be handled" in caplog.text
    assert not re.search("4111", caplog.text)
