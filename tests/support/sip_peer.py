"""A caller made of text: writes the requests of one call the way a phone does, for an endpoint under test."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from sip.address import Address
from sip.message import Request, Response
from sip.parser import parse_message
from tests.support.sip_pair import ALICE, BOB, offer_of

DIGIT_5 = b"Signal=5\r\nDuration=160\r\n"


def request(text: str, body: bytes = b"") -> Request:
    """Parse a request written with plain line ends; Content-Length is put on."""
    lines = "\r\n".join(line.strip() for line in text.strip().splitlines())
    message = parse_message(f"{lines}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    assert isinstance(message, Request)
    return message


@dataclass
class Caller:
    """Alice's side of one call to Bob. ``to_tag`` is learnt from responses by ``learn``."""

    call_id: str = "call-1"
    tag: str = "alice-tag"
    to_tag: str | None = None
    address: Address = ALICE
    target: str = f"sip:pay@{BOB.host}"
    cseq: int = 0
    rport: bool = True
    invite_branch: str = ""
    branches: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def write(
        self,
        method: str,
        *,
        cseq: int | None = None,
        branch: str | None = None,
        body: bytes = b"",
        content_type: str | None = None,
        headers: str = "",
    ) -> Request:
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        branch = branch or f"z9hG4bK{self.call_id}-{self.tag}-{next(self.branches)}"
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        kind = f"Content-Type: {content_type}\n" if content_type else ""
        return request(
            f"""{method} {self.target} SIP/2.0
            Via: SIP/2.0/UDP {self.address.host}:{self.address.port};branch={branch}{";rport" if self.rport else ""}
            Max-Forwards: 70
            From: "Alice" <sip:alice@{self.address.host}>;tag={self.tag}
            To: <sip:pay@{BOB.host}>{to_tag}
            Call-ID: {self.call_id}
            CSeq: {cseq} {method}
            Contact: <sip:alice@{self.address.host}:{self.address.port}>
            {headers}
            {kind}""".replace("\n            \n", "\n").rstrip(),
            body,
        )

    def invite(self, *, offer: bool = True, headers: str = "", body: bytes | None = None) -> Request:
        if body is None:
            body = offer_of(self.address).serialize() if offer else b""
        made = self.write("INVITE", body=body, content_type="application/sdp" if body else None, headers=headers)
        self.invite_branch = made.via.branch or ""
        return made

    def learn(self, response: Request | Response) -> Response:
        assert isinstance(response, Response)
        self.to_tag = response.to.tag or self.to_tag
        return response

    def ack(self, *, body: bytes = b"", cseq: int | None = None) -> Request:
        """The ACK to a 2xx: a branch of its own."""
        number = self.cseq if cseq is None else cseq
        return self.write("ACK", cseq=number, body=body, content_type="application/sdp" if body else None)

    def ack_refusal(self) -> Request:
        """The ACK to a 300-699: the INVITE's branch."""
        return self.write("ACK", cseq=self.cseq, branch=self.invite_branch)

    def cancel(self, headers: str = "") -> Request:
        to_tag, self.to_tag = self.to_tag, None
        made = self.write("CANCEL", cseq=self.cseq, branch=self.invite_branch, headers=headers)
        self.to_tag = to_tag
        return made

    def bye(self) -> Request:
        return self.write("BYE")

    def info(self, content_type: str, body: bytes) -> Request:
        return self.write("INFO", content_type=content_type, body=body)
