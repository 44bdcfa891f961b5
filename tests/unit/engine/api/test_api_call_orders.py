"""What a request for a call may ask for, and with which of the vendor's codes it is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.api.errors import ApiError
from engine.api.twilio.answers import Form
from engine.api.twilio.call_orders import call_order
from tests.support.api import config_of

NUMBER, OWN = "+15550100777", "+15550100001"
URL = "https://app.example.com/voice"


def form_of(fields: Mapping[str, str | None]) -> Form:
    given = {"To": NUMBER, "From": OWN, "Url": URL} | dict(fields)
    return Form((name, value) for name, value in given.items() if value is not None)


@pytest.mark.parametrize(
    ("fields", "to", "caller", "headers"),
    [
        ({"To": "+1 (555) 010-0777"}, NUMBER, OWN, {}),
        ({"To": "sip:ann@pbx.example.com:5070;transport=tcp"}, "sip:ann@pbx.example.com:5070;transport=tcp", OWN, {}),
        ({"To": "sip:ann@pbx.example.com?X-Order=12%2F3"}, "sip:ann@pbx.example.com", OWN, {"X-Order": "12/3"}),
        ({"To": "client:ann"}, "sip:ann@clients.example.com", OWN, {}),
        ({"From": "sip:desk@example.com"}, NUMBER, "sip:desk@example.com", {}),
        ({"From": "client:desk"}, NUMBER, "desk", {}),
        ({"From": "+1-555-010-0002"}, NUMBER, "+15550100002", {}),
        ({"CallerId": "+15550100003"}, NUMBER, "+15550100003", {}),
    ],
)
def test_numbers_sip_uris_and_clients_can_be_called(
    fields: dict[str, str], to: str, caller: str, headers: dict[str, str]
) -> None:
    config = config_of()
    twilio = config.twilio.model_copy(update={"client_uri": "sip:{name}@clients.example.com"})
    order = call_order(form_of(fields), config.model_copy(update={"twilio": twilio}))
    assert (order.to, order.caller, order.headers) == (to, caller, headers)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"To": None}, 21201),
        ({"To": "  "}, 21201),
        ({"To": "somebody"}, 21211),
        ({"To": "tel:+1555"}, 21211),
        ({"To": "sip:"}, 21211),
        ({"To": "sip:a:password@b"}, 21211),
        ({"To": "sip:a@b?Route=%3Csip:evil%3E"}, 21211),
        ({"To": "sip:a@b?X-A=1%0d%0aRoute:%20evil"}, 21211),
        ({"To": "sip:a@b\r\nRoute: evil"}, 21211),
        ({"To": "client:ann"}, 21211),
        ({"To": "client:../ann"}, 21211),
        ({"To": "9" * 33}, 21211),
        ({"From": None}, 21213),
        ({"From": "a b@c"}, 21212),
        ({"From": "sip:x y"}, 21212),
        ({"Url": None}, 21205),
        ({"Url": "/relative"}, 21205),
        ({"Url": "ftp://a/b"}, 21205),
        ({"Url": "https://"}, 21205),
        ({"Url": "https://a:99999/b"}, 21205),
        ({"Url": "https://a/b c"}, 21205),
        ({"Url": "https://a/\n"}, 21205),
        ({"Url": "https://a/" + "b" * 4000}, 21205),
        ({"Twiml": "<Response/>"}, 21205),
        ({"ApplicationSid": "AP" + "0" * 32}, 21205),
        ({"Url": None, "ApplicationSid": "AP" + "0" * 32}, 21218),
        ({"Url": None, "Twiml": "x" * 70_000}, 20001),
        ({"Method": "PUT"}, 21209),
        ({"FallbackUrl": "x"}, 21205),
        ({"StatusCallback": "relative"}, 21609),
        ({"StatusCallbackEvent": "started"}, 21626),
        ({"SendDigits": "12x"}, 21206),
        ({"SendDigits": "1" * 33}, 21206),
        ({"Timeout": "0"}, 21208),
        ({"Timeout": "601"}, 21208),
        ({"Timeout": "-5"}, 21208),
        ({"Timeout": "٣"}, 21208),
        ({"TimeLimit": "soon"}, 20001),
        ({"Record": "perhaps"}, 20001),
        ({"RecordingChannels": "quadro"}, 20001),
        ({"RecordingStatusCallback": "x"}, 21609),
        ({"RecordingStatusCallback": "http://a.example/r"}, 21609),
    ],
)
def test_what_cannot_be_called_is_refused_with_the_vendors_code(fields: dict[str, str | None], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        call_order(form_of(fields), config_of())
    assert (refused.value.status, refused.value.code) == (400, code)
