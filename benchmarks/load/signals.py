"""Messages of whole calls as text, for loads: a caller who talks to the engine without the engine's own SIP stack.

The INVITE is what a PBX sends: 15 header fields and a session description with three codecs, about 1,150 octets.
"""

from __future__ import annotations

__all__ = ("ack", "ack_refusal", "bye", "invite", "ok", "to_tag_of")

HEAD = (
    "{method} {target} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch};rport\r\n"
    "Max-Forwards: 70\r\n"
    'From: "Payer, Alice" <sip:+15550100@{sent_by}>;tag={tag}\r\n'
    "To: <{target}>{to_tag}\r\n"
    "Call-ID: {call_id}\r\n"
    "CSeq: {cseq} {method}\r\n"
    "Contact: <sip:+15550100@{sent_by};transport=udp>\r\n"
)
INVITE_FIELDS = (
    "Allow: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, MESSAGE, REFER\r\n"
    "Supported: 100rel, timer, replaces, norefersub, histinfo\r\n"
    "Session-Expires: 1800\r\n"
    "Min-SE: 90\r\n"
    'P-Asserted-Identity: "Payer, Alice" <sip:+15550100@{host}>\r\n'
    "User-Agent: a PBX\r\n"
    "Content-Type: application/sdp\r\n"
)
SDP = (
    "v=0\r\n"
    "o=- 1790000000 1790000000 IN IP4 {host}\r\n"
    "s=a PBX\r\n"
    "c=IN IP4 {host}\r\n"
    "t=0 0\r\n"
    "m=audio {rtp_port} RTP/AVP 9 0 8 101\r\n"
    "a=rtpmap:9 G722/8000\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\n"
    "a=ptime:20\r\n"
    "a=maxptime:150\r\n"
    "a=sendrecv\r\n"
)


def _head(method: str, number: int, *, target: str, host: str, port: int, prefix: str, cseq: int, to_tag: str) -> str:
    # ACK to a 2xx and BYE have branches of their own (RFC 3261 §17.1.1.3).
    return HEAD.format(
        method=method,
        target=target,
        sent_by=f"{host}:{port}",
        branch=f"{prefix}-{number}-{method}",
        tag=f"{prefix}{number}",
        to_tag=f";tag={to_tag}" if to_tag else "",
        call_id=f"{prefix}-{number}@{host}",
        cseq=cseq,
    )


def invite(number: int, *, target: str, host: str, port: int, rtp_port: int, prefix: str = "load") -> bytes:
    """Write the INVITE of call ``number``."""
    body = SDP.format(host=host, rtp_port=rtp_port)
    head = _head("INVITE", number, target=target, host=host, port=port, prefix=prefix, cseq=1, to_tag="")
    return f"{head}{INVITE_FIELDS.format(host=host)}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def ack(number: int, to_tag: str, *, target: str, host: str, port: int, prefix: str = "load") -> bytes:
    """Write the ACK to the 2xx."""
    head = _head("ACK", number, target=target, host=host, port=port, prefix=prefix, cseq=1, to_tag=to_tag)
    return f"{head}Content-Length: 0\r\n\r\n".encode()


def ack_refusal(number: int, to_tag: str, *, target: str, host: str, port: int, prefix: str = "load") -> bytes:
    """Write the ACK to a refusal: in the INVITE's transaction, so with its branch (RFC 3261 §17.1.1.3)."""
    return ack(number, to_tag, target=target, host=host, port=port, prefix=prefix).replace(b"-ACK;", b"-INVITE;", 1)


def bye(number: int, to_tag: str, *, target: str, host: str, port: int, prefix: str = "load") -> bytes:
    """Write the BYE."""
    head = _head("BYE", number, target=target, host=host, port=port, prefix=prefix, cseq=2, to_tag=to_tag)
    return f"{head}User-Agent: a PBX\r\nContent-Length: 0\r\n\r\n".encode()


def ok(invited: bytes, to_tag: str) -> bytes:
    """Write the 200 that answers an INVITE of ours: what a PBX answers to a call of the engine's."""
    head, _, body = invited.partition(b"\r\n\r\n")
    kept = [
        line + f";tag={to_tag}".encode() if line.startswith(b"To:") else line
        for line in head.split(b"\r\n")[1:]
        if line.startswith((b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:", b"Contact:", b"Allow:", b"Content-"))
    ]
    return b"\r\n".join([b"SIP/2.0 200 OK", *kept]) + b"\r\n\r\n" + body


def to_tag_of(response: bytes) -> str:
    """Return the To tag of a response, empty when it has none."""
    start = response.find(b"\r\nTo:")
    line = response[start + 2 : response.find(b"\r\n", start + 2)]
    return line.partition(b";tag=")[2].partition(b";")[0].decode()
