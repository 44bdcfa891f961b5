"""What looks like a card number or like pressed keys leaves only as a mask."""

from __future__ import annotations

import json

import pytest

from engine.redact import mask_card, redact_sip, redact_text

PANS = (
    "4111111111111111",
    "4222222222222",
    "4000000000000000006",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "36227206271667",
    "30569309025904",
    "3566002020360505",
    "6200000000000005",
    "6771798021000008",
    "500000000009",
)


def masked(pan: str) -> str:
    return "*" * (len(pan) - 4) + pan[-4:]


@pytest.mark.parametrize("pan", PANS)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "card {} refused",
        '{{"n":"{}"}}',
        "n={}&x=1",
        "<{}>",
        "{}.",
        "sip:{}@host",
        "+{}",
        "a\n{}\nb",
    ],
)
def test_a_card_number_is_masked_whatever_stands_around_it(pan: str, around: str) -> None:
    assert redact_text(around.format(pan)) == around.format(masked(pan))


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "41 11 11 11 11 11 11 11",
        "4111-11111111-1111",
    ],
)
def test_separators_hide_nothing(text: str) -> None:
    digits = text.replace(" ", "").replace("-", "")
    assert redact_text(f"number {text} end") == f"number {masked(digits)} end"


@pytest.mark.parametrize("pan", PANS)
@pytest.mark.parametrize("around", ["12 {} 34", "4711 {} 4711", "4 {} 5", "3600 {}-1 1 1", "{} {}"])
@pytest.mark.parametrize("grouped", [True, False])
def test_figures_beside_a_card_number_do_not_draw_the_mask_away(pan: str, around: str, *, grouped: bool) -> None:
    written = " ".join(pan[place : place + 4] for place in range(0, len(pan), 4)) if grouped else pan
    clean = redact_text(around.replace("{}", written)).replace(" ", "").replace("-", "")
    assert not any(pan[place : place + 8] in clean for place in range(len(pan) - 7))


@pytest.mark.parametrize("pan", ["4111111111111112", "5555555555554440", "378282246310006", "6011111111111110"])
def test_a_card_number_with_one_wrong_key_is_masked(pan: str) -> None:
    assert redact_text(f"got {pan}") == f"got {masked(pan)}"


def test_a_card_number_inside_a_word_is_masked() -> None:
    assert redact_text("pan4111111111111111x") == "pan************1111x"


def test_several_numbers_in_a_row_are_masked() -> None:
    assert redact_text("4111111111111111 5555555555554444") == "************1111 ************4444"
    text = redact_text("4111111111111111" * 3)
    assert text == "*" * 48


def test_a_number_beside_other_figures_is_found() -> None:
    assert redact_text("5060 4111111111111111 20") == "5060 ************1111 20"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "call answered codec=PCMU call=b7f3",
        "from +15551234567 to 4711",
        "2026-11-21 09:07:01,123 INFO",
        "at 1743707517.12267 s",
        "ts 1743707517123",
        "stats 160 320 480 640 800",
        "rtp seq 12345 ts 4294967295",
        "127.0.0.1:5060",
        "************1111",
        "transaction 3f2b8c1e-9d4a-4c6e-8f1a-2b3c4d5e6f70",
        "payment 9c1185a5c5e9fc54612808977ee8f548",
        "max 18446744",
    ],
)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Signal=5\r\nDuration=160", "Signal=*\r\nDuration=160"),
        ("Signal= 5", "Signal= *"),
        ("signal=11", "signal=**"),
        ('{"cvv": "737"}', '{"cvv": "***"}'),
        (json.dumps({"body": '{"cvv":"737"}'}), json.dumps({"body": '{"cvv":"***"}'})),
        ("Digits=4111&To=1", "Digits=****&To=1"),
        ("digit: 5", "digit: *"),
        ("SecurityCode=123", "SecurityCode=***"),
        ("security_code=1234", "security_code=****"),
        ("cardnumber='4111'", "cardnumber='****'"),
        ("bankaccountnumber=000123", "bankaccountnumber=******"),
        ("digits=12*#", "digits=****"),
        ("SecurityCode=xxx", "SecurityCode=xxx"),
        ("undigits=5", "undigits=5"),
        ("signal: 5ms", "signal: 5ms"),
    ],
)
def test_values_that_carry_keys_are_masked(text: str, clean: str) -> None:
    assert redact_text(text) == clean


def test_redacting_twice_changes_nothing_more() -> None:
    for pan in PANS:
        once = redact_text(f"Signal=5 card {pan} digits=411")
        assert redact_text(once) == once


def test_a_long_line_is_redacted_in_linear_steps() -> None:
    text = "1" * 11 + "x"
    assert redact_text(text * 5000) == text * 5000


@pytest.mark.parametrize(
    ("last_four", "length", "char", "mask"),
    [
        ("1111", 16, "*", "************1111"),
        ("", 3, "x", "xxx"),
        ("0005", 15, "x", "xxxxxxxxxxx0005"),
        ("", 0, "*", ""),
    ],
)
def test_a_card_mask_has_a_character_for_each_digit(last_four: str, length: int, char: str, mask: str) -> None:
    assert mask_card(last_four, length, char) == mask


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4",
            f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'*' * 40}|2^20|1:4",
        ),
        ("INLINE:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", f"INLINE:{'*' * 40}"),
        ("Content-Disposition: inline; handling=optional", "Content-Disposition: inline; handling=optional"),
    ],
)
def test_a_media_key_is_masked_in_a_log_line(text: str, clean: str) -> None:
    assert redact_text(text) == clean
    assert redact_text(clean) == clean


HEAD = (
    "INVITE sip:pay@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1;rport\r\n"
    "From: <sip:+15551234567@192.0.2.7>;tag=1\r\nTo: <sip:pay@192.0.2.9>\r\nCall-ID: a84b4c76e66710\r\n"
    "CSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
)


def redacted(text: str) -> str:
    clean = redact_sip(text.encode()).decode()
    assert len(clean) == len(text)
    return clean


def test_an_ordinary_message_stays_as_it_is() -> None:
    message = HEAD + (
        "Contact: <sip:a@192.0.2.7:5060;transport=tcp>\r\nContent-Type: application/sdp\r\nContent-Length: 213\r\n\r\n"
        "v=0\r\no=- 3909876543 3909876543 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
        "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
        "a=fingerprint:SHA-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9\r\n"
        "a=candidate:1 1 UDP 2130706431 192.0.2.7 40000 typ host\r\na=sendrecv\r\n"
    )
    assert redacted(message) == message


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "AUTHORIZATION ", "Proxy-Authorization\r\n "])
def test_of_credentials_the_user_name_stays(name: str) -> None:
    value = (
        'Digest username="bob",realm="pbx", nonce="n0nce",\r\n uri="sip:h", response="ab12", cnonce="c", nc=00000001'
    )
    clean = redacted(f"{HEAD}{name}: {value}\r\n\r\n")
    masked_value = value.replace("n0nce", "*****").replace("ab12", "****").replace('cnonce="c"', 'cnonce="*"')
    assert clean == f"{HEAD}{name}: {masked_value}\r\n\r\n"


@pytest.mark.parametrize(
    "value",
    [
        "Basic Ym9iOnNlY3JldA==",
        "Bearer abc",
        'Digest username="bob", response=',
        'Digest username="bob", secret',
        'Digest username="bob", response=1 secret',
        'Digest username="b\\"ob", response="1"',
    ],
)
def test_credentials_of_another_form_go_whole(value: str) -> None:
    clean = redacted(f"{HEAD}Authorization: {value}\r\n\r\n")
    assert set(clean.removeprefix(f"{HEAD}Authorization:").strip()) <= set("* ")


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("User-to-User: 56a390f3d2;encoding=hex", "User-to-User: ***********************"),
        ("X-Api-Key: abc", "X-Api-Key: ***"),
        ("X-DTMF: 5", "X-DTMF: *"),
        ("Contact: <sip:bob:secret@192.0.2.7>", "Contact: <sip:bob:******@192.0.2.7>"),
        ("Refer-To: <sip:a@b?User-to-User=56a3&x=1>", "Refer-To: <sip:a@b?User-to-User=****&x=1>"),
        ("X: 4111\r\n\t1111 1111\r\n  1111", "X: ****\r\n\t**** ****\r\n  ****"),
        ("X: 4111.1111.1111.1111", "X: ****.****.****.****"),
        ("X: 4111/1111_1111,1111", "X: ****/****_****,****"),
        ("X: 4111\u00a01111\u00a01111\u00a01111", "X: ****\u00a0****\u00a0****\u00a0****"),
        ("X: (4111)1111-1111%201111", "X: (****)****-****%20****"),
        ("X: sip:%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31@h", "X: sip:%3" + "*" * 46 + "@h"),
        ("X: inline:abcdef", "X: inline:******"),
        ("no header at all", "** ****** ** ***"),
        ("X: 1\rAuthorization: abc", "X: 1\rAuthorization: ***"),
    ],
)
def test_secrets_in_headers_are_masked(line: str, clean: str) -> None:
    assert redacted(f"{HEAD}{line}\r\nContent-Length: 0\r\n\r\n") == f"{HEAD}{clean}\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("kind", ["application/dtmf-relay", "application/dtmf", "application/sdp", "text/plain"])
def test_the_body_of_an_info_goes_whole(kind: str) -> None:
    body = "Signal=5\r\nDuration=160\r\n"
    head = HEAD.replace("INVITE", "INFO") + f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    assert redacted(head + body) == head + "*" * len(body)


@pytest.mark.parametrize(
    "fields", ["Content-Type: message/cpim", "c: multipart/mixed;boundary=x", "", "c: application/sdp\r\nc: text/plain"]
)
def test_a_body_of_another_type_goes_whole(fields: str) -> None:
    head = HEAD + f"{fields}\r\n".lstrip() + "\r\n"
    assert redacted(f"{head}v=0\r\nhello\r\n") == head + "*" * 12


def test_a_compressed_session_description_goes_whole() -> None:
    head = HEAD + "e: gzip\r\nc: application/sdp\r\n\r\n"
    assert redacted(head + "v=0\r\n") == head + "*****"


def test_of_a_sipfrag_the_status_stays() -> None:
    head = HEAD + "Content-Type: message/sipfrag;version=2.0\r\n\r\n"
    assert redacted(head + "SIP/2.0 603 4111\r\n") == head + "SIP/2.0 603 ****\r\n"


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("k=clear:secret", "k=************"),
        ("a=crypto:1 X_80 inline:abc|2^20 inline:def", "a=crypto:1 X_80 ***************" + " " + "**********"),
        ("a=CRYPTO:1 inline:abc", "a=CRYPT*** **********"),
        ("a=ice-pwd:asd88fgpdd777uzjYhagZg", "a=ice-pwd***********************"),
        ("a=key-mgmt:mikey AQAFgM", "a=key*********** ******"),
        ("a=x:" + "A1b2" * 10, "a=x:" + "*" * 40),
        ("inline:abc", "**********"),
        ("a=x inline:abc", "a=x inline:***"),
        ("i=card 4111 1111 1111 1111", "i=card **** **** **** ****"),
    ],
)
def test_keys_in_a_session_description_are_masked(line: str, clean: str) -> None:
    head = HEAD + "Content-Type: application/sdp\r\n\r\n"
    assert redacted(f"{head}v=0\r\n{line}\r\ns=-\r\n") == f"{head}v=0\r\n{clean}\r\ns=-\r\n"
