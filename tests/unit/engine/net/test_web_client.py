"""engine.net.web_client: signed requests with an answer, and redirects for those who follow them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.net.http import BadAnswer, HttpResponse
from engine.net.signatures import FORM, SignatureKind, signalwire_headers, twilio_signature
from engine.net.web_client import KeyMissing, WebAnswer, WebClient, WebRequest

pytestmark = pytest.mark.asyncio

URL = "https://app.example/doc?x=1"


class Network:
    """Answers by script, 200 when there is none; redirects are (status, location)."""

    def __init__(self, *script: tuple[int, str]) -> None:
        self.script = [*script]
        self.sent: list[tuple[str, str, bytes, dict[str, str]]] = []

    async def __call__(
        self, method: str, url: str, *, headers: dict[str, str], body: bytes, redirects: bool, **_: Any
    ) -> HttpResponse:
        self.sent.append((method, url, body, headers))
        status, location = self.script.pop(0) if self.script else (200, "")
        if 300 <= status < 400 and not redirects:
            raise BadAnswer("redirects, which is not followed", status=status)
        headers_back = [(b"location", location.encode("latin-1"))] if location else []
        return HttpResponse(status=status, headers=headers_back, body=b"document")


def client(network: Network, **keys: str) -> WebClient:
    return WebClient(
        network,
        clock=lambda: datetime(2030, 1, 1, tzinfo=UTC),
        key_for=lambda name: keys.get(name, ""),
        token_id=lambda: "t",
    )


async def fetch(network: Network, *, redirects: int = 5, keys: dict[str, str] | None = None, **more: Any) -> WebAnswer:
    return await client(network, **(keys or {})).fetch(WebRequest(**({"url": URL} | more)), redirects=redirects)


class TestAnswer:
    async def test_answer_is_read_whatever_its_status(self) -> None:
        answer = await fetch(Network((404, "")), url="https://u:p@app.example/doc#part", body=b"{}")
        assert (answer.response.status, answer.response.body) == (404, b"document")
        assert answer.url == "https://app.example/doc"

    async def test_key_that_is_not_set_sends_nothing(self) -> None:
        network = Network()
        with pytest.raises(KeyMissing, match="KEY"):
            await fetch(network, signature=SignatureKind.TWILIO, key_env="KEY")
        assert network.sent == []

    @pytest.mark.parametrize(
        "wrong",
        [
            {"url": "http://a.example/"},
            {"url": "ftp://a.example/"},
            {"method": "TRACE"},
            {"method": "GET", "body": b"{}"},
            {"signature": SignatureKind.TWILIO},
            {"key_env": "KEY"},
        ],
    )
    async def test_what_can_never_be_sent_is_a_mistake(self, wrong: dict[str, Any]) -> None:
        network = Network()
        with pytest.raises(ValueError, match=r"URL|method|GET|signature"):
            await fetch(network, **wrong)
        assert network.sent == []

    async def test_request_shows_neither_url_nor_body(self) -> None:
        assert "secret" not in repr(WebRequest(url="https://u:secret@a.example/?secret", body=b"secret"))


class TestForm:
    @pytest.mark.parametrize(
        ("url", "sent"),
        [
            ("https://a.example/x", "https://a.example/x?a=1&b=%2B"),
            ("https://a.example/x?y=z", "https://a.example/x?y=z&a=1&b=%2B"),
            ("https://a.example/x#part", "https://a.example/x?a=1&b=%2B"),
        ],
    )
    async def test_get_carries_its_parameters_in_the_query(self, url: str, sent: str) -> None:
        network = Network()
        await fetch(network, url=url, method="GET", body=b"a=1&b=%2B", content_type=FORM)
        assert network.sent == [("GET", sent, b"", {})]

    async def test_twilio_json_is_signed_by_a_hash_in_the_url(self) -> None:
        network = Network()
        url = URL.replace("https://", "https://u:p@")
        await fetch(network, url=url, body=b"{}", signature=SignatureKind.TWILIO, key_env="K", keys={"K": "12345"})
        digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha256 of {}
        ((_, sent, body, headers),) = network.sent
        assert (sent, body) == (f"{url}&bodySHA256={digest}", b"{}")
        assert headers["X-Twilio-Signature"] == twilio_signature("12345", f"{URL}&bodySHA256={digest}", [])


class TestRedirects:
    @pytest.mark.parametrize(
        ("status", "method", "body"),
        [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"a=1"), (308, "POST", b"a=1")],
    )
    async def test_method_and_body_of_the_next_hop(self, status: int, method: str, body: bytes) -> None:
        network = Network((status, "next"))
        answer = await fetch(network, body=b"a=1", content_type=FORM)
        assert network.sent[1][:3] == (method, "https://app.example/next", body)
        assert answer.url == "https://app.example/next"

    async def test_each_hop_is_signed_anew(self) -> None:
        network = Network((307, "https://other.example/b"))
        await fetch(network, body=b"{}", signature=SignatureKind.SIGNALWIRE, key_env="K", keys={"K": "k"})
        assert signalwire_headers("k", URL, b"{}").items() <= network.sent[0][3].items()
        assert signalwire_headers("k", "https://other.example/b", b"{}").items() <= network.sent[1][3].items()

    @pytest.mark.parametrize(
        ("location", "next_url"),
        [
            ("/b", "https://u:p@app.example/b"),
            ("https://app.example/b#part", "https://u:p@app.example/b"),
            ("https://app.example:8443/b", "https://app.example:8443/b"),
            ("https://other.example/b", "https://other.example/b"),
            ("https://x:y@other.example/b", "https://other.example/b"),
        ],
    )
    async def test_password_goes_no_further_than_its_origin(self, location: str, next_url: str) -> None:
        network = Network((302, location))
        await fetch(network, url="https://u:p@app.example/a", method="GET")
        assert network.sent[1][1] == next_url

    async def test_parameters_of_a_get_are_not_sent_twice(self) -> None:
        network = Network((307, "/b?c=1"))
        await fetch(network, method="GET", body=b"a=1", content_type=FORM)
        assert network.sent[1][:3] == ("GET", "https://app.example/b?c=1", b"")

    @pytest.mark.parametrize(
        "location", ["", "http://app.example/", "ftp://app.example/", "https://[::1/", "https://a b/", "\xe4"]
    )
    async def test_redirect_to_nowhere_is_a_bad_answer(self, location: str) -> None:
        network = Network((302, location))
        with pytest.raises(BadAnswer, match="redirects") as caught:
            await fetch(network)
        assert (caught.value.status, len(network.sent)) == (302, 1)

    @pytest.mark.parametrize("status", [300, 304, 305])
    async def test_other_3xx_lead_nowhere(self, status: int) -> None:
        with pytest.raises(BadAnswer):
            await fetch(Network((status, "/b")))

    @pytest.mark.parametrize("limit", [0, 1, 3])
    async def test_no_more_hops_than_wanted(self, limit: int) -> None:
        network = Network(*[(302, "/again")] * 9)
        with pytest.raises(BadAnswer, match="not followed"):
            await fetch(network, redirects=limit)
        assert len(network.sent) == limit + 1
