"""RFC 5626 §3.5, §4.4.1, §5.4 (keep-alives of connections and of UDP), RFC 5389 and RFC 5769 (STUN)."""

from __future__ import annotations

import asyncio
import ipaddress
import struct

import pytest

from engine.net.stream import HANDSHAKE_S, MESSAGE_S, PONG_S
from engine.net.transports import ConnectionLimits
from sip.address import Address, Transport
from sip.message import Response
from sip.stun import binding_response, is_stun
from tests.support.sip_sockets import LOOPS, Datagrams, Stream, listening, options, run

both_loops = pytest.mark.parametrize("loop", LOOPS)

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
COOKIE = bytes.fromhex("2112a442")


def binding(attributes: bytes = b"", kind: int = 1) -> bytes:
    return struct.pack("!HH", kind, len(attributes)) + COOKIE + TRANSACTION + attributes


# -- STUN --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "attribute"),
    [
        # The XOR-MAPPED-ADDRESS of the sample responses of RFC 5769 §2.2 and §2.3.
        ("192.0.2.1", "002000080001a147e112a643"),
        ("2001:db8:1234:5678:11:2233:4455:6677", "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"),
    ],
)
def test_a_binding_request_is_answered_with_where_it_came_from(host: str, attribute: str) -> None:
    value = bytes.fromhex(attribute)
    assert binding_response(binding(), Address(host, 32853)) == (
        b"\x01\x01" + struct.pack("!H", len(value)) + COOKIE + TRANSACTION + value
    )


def test_optional_attributes_are_passed_over() -> None:
    software = bytes.fromhex("8022000474657374")
    assert binding_response(binding(software), Address("192.0.2.1", 1)) == binding_response(
        binding(), Address("192.0.2.1", 1)
    )


def test_an_unknown_attribute_that_must_be_understood_gets_420_with_its_name() -> None:
    answer = binding_response(binding(bytes.fromhex("7abc000178000000")), Address("192.0.2.1", 1))
    assert answer is not None
    assert answer[:2] == b"\x01\x11"
    assert struct.unpack_from("!H", answer, 2)[0] == len(answer) - 20
    assert bytes.fromhex("00000414") in answer  # class 4, number 20
    assert bytes.fromhex("000a00027abc0000") in answer


@pytest.mark.parametrize(
    "data",
    [
        binding(kind=0x0101),  # a response
        binding(kind=0x0011),  # an indication
        binding()[:-1],
        binding() + b"\0",
        binding(bytes.fromhex("8022ffff74657374")),  # an attribute beyond the message
        binding().replace(COOKIE, b"\0\0\0\0"),
        b"OPTIONS sip:a SIP/2.0\r\n\r\n",
        b"",
    ],
)
def test_nothing_else_is_answered(data: bytes) -> None:
    assert binding_response(data, Address("192.0.2.1", 1)) is None


def test_sip_is_never_taken_for_stun() -> None:
    assert not is_stun(options())
    assert is_stun(binding())


@both_loops
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_udp_socket_answers_stun_next_to_sip(loop: str, host: str) -> None:
    async def test() -> None:
        shown = f"[{host}]" if ":" in host else host
        async with listening(f"udp:{shown}:0") as sockets, Datagrams.open(host=host) as peer:
            peer.send(binding(), sockets.port(Transport.UDP), host)
            answer = await peer.queue.get()
            port = struct.unpack_from("!H", answer, 26)[0] ^ 0x2112
            mask = COOKIE + TRANSACTION
            address = bytes(a ^ b for a, b in zip(answer[28:], mask, strict=False))
            assert (ipaddress.ip_address(address), port) == (ipaddress.ip_address(host), peer.port)
            assert sockets.endpoint.statistics.datagrams_in == 0
            peer.send(options(via=f"UDP {shown}:{peer.port}"), sockets.port(Transport.UDP), host)
            assert (await peer.queue.get()).startswith(b"SIP/2.0 200 ")

    run(loop, test)


def test_stun_from_a_source_that_is_not_allowed_is_dropped() -> None:
    async def test() -> None:
        async with (
            listening("udp:127.0.0.1:0") as allowed,
            Datagrams.open() as peer,
            listening("udp:127.0.0.1:0", allow=("10.0.0.0/8",)) as sockets,
        ):
            peer.send(binding(), sockets.port(Transport.UDP))
            peer.send(binding(), allowed.port(Transport.UDP))
            await peer.queue.get()
            peer.send(binding(), allowed.port(Transport.UDP))
            await peer.queue.get()
            assert peer.queue.empty()

    run("asyncio", test)


# -- CRLF --------------------------------------------------------------------------------------------------------------


@both_loops
def test_a_ping_on_a_connection_is_answered_with_one_line_end(loop: str) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            for number in range(3):
                stream.writer.write(b"\r\n\r\n")
                assert await stream.reader.readexactly(2) == b"\r\n"
                assert (await stream.ask(options(branch=f"z9hG4bK{number}"))).status == 200

    run(loop, test)


def test_a_keepalive_over_udp_is_not_answered() -> None:
    async def test() -> None:
        async with listening("udp:127.0.0.1:0") as sockets, Datagrams.open() as peer:
            peer.send(b"\r\n\r\n", sockets.port(Transport.UDP))
            peer.send(options(via=f"UDP 127.0.0.1:{peer.port}"), sockets.port(Transport.UDP))
            assert (await peer.queue.get()).startswith(b"SIP/2.0 200 ")
            assert sockets.endpoint.statistics.keepalives == 1
            assert peer.queue.empty()

    run("asyncio", test)


class Flow:
    """A connection that the endpoint opened to the test."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[Stream] = asyncio.Queue()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.streams.put_nowait(Stream(reader, writer))


@both_loops
def test_connections_that_we_opened_are_pinged_and_one_that_stops_to_answer_is_closed(loop: str) -> None:
    async def test() -> None:
        flow = Flow()
        server = await asyncio.start_server(flow.take, "127.0.0.1", 0)
        async with listening(limits=ConnectionLimits(ping_s=100)) as sockets:
            sockets.call(Address("127.0.0.1", server.sockets[0].getsockname()[1], Transport.TCP))
            stream = await flow.streams.get()
            request = await stream.request()
            tend, now = sockets.transports.tend, asyncio.get_running_loop().time()
            tend(now)
            tend(now + 79)  # RFC 5626 §4.4.1: not before 80 % of the interval
            tend(now + 100)
            assert await stream.reader.readexactly(4) == b"\r\n\r\n"
            stream.writer.write(b"\r\n" + Response.to_request(request, 180, to_tag="1").serialize())
            while sockets.endpoint.statistics.datagrams_in == 0:
                await asyncio.sleep(0)
            tend(now + 100 + PONG_S)
            assert sockets.transports.connections == 1
            tend(now + 200)
            assert await stream.reader.readexactly(4) == b"\r\n\r\n"
            tend(now + 200 + PONG_S)
            assert await stream.end() == b""
            assert sockets.transports.connections == 0
        server.close()

    run(loop, test)


def test_a_peer_that_never_answered_a_ping_keeps_its_connection() -> None:
    # Before RFC 5626 line ends between messages were ignored (RFC 3261 §7.5), and by many they still are.
    async def test() -> None:
        flow = Flow()
        server = await asyncio.start_server(flow.take, "127.0.0.1", 0)
        async with listening(limits=ConnectionLimits(ping_s=100)) as sockets:
            sockets.call(Address("127.0.0.1", server.sockets[0].getsockname()[1], Transport.TCP))
            stream = await flow.streams.get()
            await stream.request()
            now = asyncio.get_running_loop().time()
            for elapsed in (0, 100, 100 + PONG_S, 200, 200 + PONG_S):
                sockets.transports.tend(now + elapsed)
            assert await stream.reader.readexactly(8) == b"\r\n\r\n\r\n\r\n"
            assert sockets.transports.connections == 1
        server.close()

    run("asyncio", test)


def test_connections_that_we_took_are_not_pinged() -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0", limits=ConnectionLimits(ping_s=10)) as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            assert (await stream.ask()).status == 200
            now = asyncio.get_running_loop().time()
            for elapsed in (0, 10, 20, 30):
                sockets.transports.tend(now + elapsed)
            assert (await stream.ask(options(branch="z9hG4bK2"))).status == 200  # nothing stands before the answer

    run("asyncio", test)


# -- time-outs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "after_s"),
    [
        (b"", MESSAGE_S),  # a connection that says nothing
        (options()[:-5], MESSAGE_S),  # half a message
        (options() + options()[:-5], MESSAGE_S),
        (options(), 600),  # idle
    ],
)
def test_a_connection_that_takes_too_long_is_closed(sent: bytes, after_s: float) -> None:
    async def test() -> None:
        async with listening("tcp:127.0.0.1:0", limits=ConnectionLimits(idle_s=600)) as sockets:
            stream = await Stream.to(sockets.port(Transport.TCP))
            stream.writer.write(sent)
            while not sockets.transports.connections:
                await asyncio.sleep(0)
            (connection,) = sockets.transports._flows.values()
            if sent.startswith(options()):
                assert (await stream.response()).status == 200
            while sent.endswith(options()[:-5]) and connection._message_at is None:
                await asyncio.sleep(0)
            now = asyncio.get_running_loop().time()
            sockets.transports.tend(now + after_s - 1)
            assert connection.is_usable
            sockets.transports.tend(now + after_s)
            assert await stream.end() == b""

    run("asyncio", test)


def test_a_websocket_whose_handshake_takes_too_long_is_closed() -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.WS))
            stream.writer.write(b"GET / HTTP/1.1\r\n")
            while not sockets.transports.connections:
                await asyncio.sleep(0)
            sockets.transports.tend(asyncio.get_running_loop().time() + HANDSHAKE_S)
            assert await stream.end() == b""

    run("asyncio", test)
