"""What a call out says and where it goes, for every way of naming who is called."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import parse
from engine.errors import CallError, ConfigError
from engine.net.dialling import DialPlan, OutboundCall, plan_call
from sip.uri import NameAddr, Uri

FORM = '[connector.sandbox]\ntype = "sandbox"\n[form.gift]\n'
ACCOUNT = '[account.pbx]\nregistrar = "sip:pbx.example.com:5070"\nuser = "till"\npassword_env = "PBX_PASSWORD"\n'
PASSWORD = "correct horse"
ROUTES = (NameAddr(uri=Uri.parse("sip:proxy.example.com;lr")),)


def plan(to: str, toml: str = FORM, *, routes: tuple[NameAddr, ...] = (), **how: Any) -> DialPlan:
    call = OutboundCall(to=to, form=how.pop("form", "gift"), **how)
    return plan_call(call, parse(toml), own_host="192.0.2.10", own_port=5060, routes=routes)


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBX_PASSWORD", PASSWORD)


def test_a_uri_goes_to_its_host_as_written() -> None:
    made = plan("sip:payer@example.com:5080;transport=tcp")
    assert str(made.target) == "sip:payer@example.com:5080;transport=tcp"
    assert made.first_hop(made.target) is made.target
    assert made.credentials(made.target) is None
    assert made.headers(made.target) == ()
    assert str(made.from_) == "<sip:paytone@192.0.2.10:5060>"


@pytest.mark.parametrize(
    "number", ["+15005550006", "tel:+15005550006", "TEL:+1-500-555-0006", "+1 (500) 555-0006", "tel:+15005550006;ext=1"]
)
def test_a_number_goes_to_the_gateway(number: str) -> None:
    made = plan(number, FORM + '[outbound]\ngateway = "sip:sbc.example.com;transport=tls"\n')
    assert str(made.target) == "sip:+15005550006@sbc.example.com;transport=tls;user=phone"
    assert made.dialled == "+15005550006"


def test_a_number_goes_to_the_accounts_registrar_when_there_is_no_gateway() -> None:
    made = plan("4711", FORM + ACCOUNT, account="pbx")
    assert str(made.target) == "sip:4711@pbx.example.com:5070;user=phone"
    assert str(made.from_) == "<sip:till@pbx.example.com:5070>"


def test_a_hash_in_a_number_is_escaped() -> None:
    assert plan("*21#", FORM + ACCOUNT, account="pbx").target.user == "*21%23"


@pytest.mark.parametrize(
    ("caller", "shown"),
    [
        ("+1 500 555 0006", "<sip:+15005550006@pbx.example.com:5070>"),
        ("sip:shop@example.com;x=1?y=2", "<sip:shop@example.com>"),
        ("", "<sip:till@pbx.example.com:5070>"),
    ],
)
def test_the_caller_is_a_number_or_a_uri(caller: str, shown: str) -> None:
    made = plan("4711", FORM + ACCOUNT, account="pbx", caller=caller, assert_identity=True)
    assert str(made.from_) == shown
    assert made.headers(made.target) == (("P-Asserted-Identity", shown),)


def test_the_password_is_for_the_accounts_own_domain_and_its_route() -> None:
    made = plan("4711", FORM + ACCOUNT, account="pbx")
    assert made.credentials(made.target) is not None
    assert made.credentials(Uri.parse("sip:4711@PBX.example.com")) is not None
    assert made.credentials(Uri.parse("sip:4711@elsewhere.example")) is None
    outside = plan("sip:payer@elsewhere.example", FORM + ACCOUNT, account="pbx")
    assert outside.credentials(outside.target) is None
    routed = plan("sip:payer@elsewhere.example", FORM + ACCOUNT, account="pbx", routes=ROUTES)
    assert routed.credentials(routed.target) is not None
    assert str(routed.first_hop(routed.target)) == "sip:proxy.example.com;lr"
    assert routed.headers(routed.target) == (("Route", "<sip:proxy.example.com;lr>"),)
    assert PASSWORD not in repr(made)


@pytest.mark.parametrize(
    ("to", "how", "words"),
    [
        ("payer", {}, "no SIP URI"),
        ("payer@example.com", {}, "no SIP URI"),
        ("", {}, "no SIP URI"),
        ("mailto:a@example.com", {}, "no SIP URI"),
        ("tel:abc", {}, "no SIP URI"),
        ("sip:a@example.com?Subject=x", {}, "headers"),
        ("sip:a:b@example.com", {}, "password"),
        ("sip:a@example.com;method=BYE", {}, "method"),
        ("+15005550006", {}, "gateway"),
        ("sip:a@example.com", {"form": "none"}, "form.none"),
        ("sip:a@example.com", {"account": "none"}, "account.none"),
        ("sip:a@example.com", {"ring_s": 0.5}, "ring_s"),
        ("sip:a@example.com", {"caller": "sip:"}, "caller"),
        ("sip:a@example.com", {"caller": "x\r\nEvil: y"}, "caller"),
        ("sip:a@example.com", {"display_name": "x\r\nEvil: y"}, "display name"),
        ("sip:a@example.com", {"headers": {"From": "x"}}, "X-"),
        ("sip:a@example.com", {"headers": {"X-A": "x\r\nEvil: y"}}, "X-A"),
        ("sip:a@example.com", {"headers": {"X-A": "x" * 300}}, "X-A"),
        ("sip:a@example.com", {"headers": {f"X-{n}": "" for n in range(20)}}, "16 headers"),
    ],
)
def test_what_cannot_be_called_is_said(to: str, how: dict[str, Any], words: str) -> None:
    with pytest.raises(CallError, match=words):
        plan(to, **how)


def test_an_account_without_its_password_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PBX_PASSWORD")
    with pytest.raises(ConfigError, match=r"account\.pbx\.password_env"):
        plan("4711", FORM + ACCOUNT, account="pbx")


def test_an_account_that_is_not_there_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"outbound\.account"):
        parse(FORM + '[outbound]\naccount = "pbx"\n')
    with pytest.raises(ConfigError, match=r"outbound\.gateway"):
        parse(FORM + '[outbound]\ngateway = "pbx"\n')


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_written_is_a_plan_or_a_call_error(to: str, caller: str, value: str) -> None:
    try:
        made = plan(to, FORM + '[outbound]\ngateway = "sip:sbc.example.com"\n', caller=caller, headers={"X-A": value})
    except CallError:
        return
    text = str(made.from_) + str(made.target) + "".join(map("".join, made.headers(made.target)))
    assert "\r" not in text
    assert "\n" not in text


def test_credentials_of_a_call_go_to_its_targets_host_and_to_nobody_else() -> None:
    made = plan("sip:agent@desk.example.com", username="desk", password="a password")
    own = made.credentials(Uri.parse("sip:other@DESK.example.com"))
    assert own is not None
    assert (own.username, own.password) == ("desk", "a password")
    assert made.credentials(Uri.parse("sip:agent@elsewhere.example.com")) is None
    assert "a password" not in repr(made)


def test_credentials_of_a_call_stand_before_the_accounts_at_its_target_alone() -> None:
    made = plan("sip:agent@desk.example.com", FORM + ACCOUNT, account="pbx", username="desk", password="x")
    found = [made.credentials(Uri.parse(uri)) for uri in ("sip:agent@desk.example.com", "sip:1@pbx.example.com")]
    assert [one and one.username for one in found] == ["desk", "till"]


def test_a_call_that_takes_the_place_of_another_says_so_and_who_asked_for_it() -> None:
    made = plan("sip:expert@example.com", replaces="abc;to-tag=1;from-tag=2", referred_by="<sip:agent@pbx.example.com>")
    assert made.headers(made.target) == (
        ("Replaces", "abc;to-tag=1;from-tag=2"),
        ("Referred-By", "<sip:agent@pbx.example.com>"),
    )
    assert made.headers(Uri.parse("sip:expert@elsewhere.example.com")) == ()


@pytest.mark.parametrize("replaces", ["abc", "abc;to-tag=1", "abc\r\nX: y;to-tag=1;from-tag=2", "a" * 300])
def test_what_names_no_call_cannot_be_replaced(replaces: str) -> None:
    with pytest.raises(CallError):
        plan("sip:expert@example.com", replaces=replaces)


@pytest.mark.parametrize("referred_by", ["<sip:a@b>\r\nRoute: <sip:evil>", "\u00e9", "x" * 300])
def test_a_referrer_that_is_no_line_is_left_out(referred_by: str) -> None:
    made = plan("sip:expert@example.com", referred_by=referred_by)
    assert made.headers(made.target) == ()
