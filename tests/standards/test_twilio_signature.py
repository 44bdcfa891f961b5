"""X-Twilio-Signature: the published examples of Twilio's documentation and helper libraries (`dialects.md` §4.5)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from engine.net.signatures import FORM, SignatureKind, SignedRequest, sign, twilio_signature

KEY = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
PARAMETERS = [
    ("To", "+18005551212"),
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("Caller", "+14158675309"),
]


def signed(body: bytes, *, url: str = URL, content_type: str = FORM, method: str = "POST") -> SignedRequest:
    return sign(
        SignatureKind.TWILIO,
        KEY,
        method=method,
        url=url,
        content_type=content_type,
        body=body,
        now=datetime(2030, 1, 1, tzinfo=UTC),
        token_id="",
        claims={},
    )


@pytest.mark.parametrize("content_type", [FORM, FORM + "; charset=UTF-8", FORM.title()])
def test_example_of_the_documentation(content_type: str) -> None:
    request = signed(urlencode(PARAMETERS).encode(), content_type=content_type)
    assert request.headers == {"X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    assert request.url == URL


def test_repeated_names_count_each_value_once_in_order() -> None:
    body = b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"
    assert signed(body).headers == {"X-Twilio-Signature": "IK+Dwps556ElfBT0I3Rgjkr1wJU="}


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        ("https://MyCompany.com/myapp.php?foo=1&bar=2", "g9IN/x4Cft2g517EjYvEvM/W7LU="),
        ("https://MyCompany.com:1234/myapp.php?foo=1&bar=2", "PCqOZm8cnu/L6+u5i5fuEd+Iac4="),
    ],
)
def test_url_is_signed_as_it_is_written(url: str, signature: str) -> None:
    assert twilio_signature(KEY, url, PARAMETERS) == signature


def test_json_body_is_hashed_into_the_url() -> None:
    request = signed(b'{"property": "value", "boolean": true}', content_type="application/json")
    assert request.url == URL + "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    assert request.headers == {"X-Twilio-Signature": "a9nBmqA0ju/hNViExpshrM61xv4="}


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (URL, b"Empty=&Name=%C3%A4+%2B&CallSid=x&callSid=y"),
        ("https://a.example/", b"a=1&b=2"),
        ("https://a.example/x", b""),
        ("https://a.example/x?bodySHA256=not-ours", b"a=1"),
    ],
)
def test_receiver_that_reads_the_form_again_comes_to_the_same(url: str, body: bytes) -> None:
    """The check as the documentation tells it, written without our code: sort, join, HMAC-SHA1, base64."""
    text = url
    for name, values in sorted(parse_qs(body.decode(), keep_blank_values=True).items()):
        for value in sorted(set(values)):
            text += name + value
    expected = base64.b64encode(hmac.new(KEY.encode(), text.encode(), hashlib.sha1).digest()).decode()
    assert signed(body, url=url).headers["X-Twilio-Signature"] == expected


def test_get_is_signed_by_its_url_alone() -> None:
    request = signed(b"", method="GET")
    assert urlsplit(request.url).query == "foo=1&bar=2"
    assert request.headers["X-Twilio-Signature"] == twilio_signature(KEY, URL, [])
