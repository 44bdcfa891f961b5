"""RFC 5627: a Contact that reaches us, and us alone, from anywhere."""

from __future__ import annotations

import re

import pytest

from sip.message import Request
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, offer_of
from tests.support.sip_registrar import accepted, account, registering, reply

PUBLIC = "sip:pay@pbx.example;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
TEMPORARY = "sip:tgruu.7hatz6cn-098shfyq193=ajfux8fyg7ajqqe7@pbx.example;gr"


def granted(contact: object, *, public: str = PUBLIC, temporary: str = TEMPORARY) -> str:
    return f'{contact};pub-gruu="{public}";temp-gruu="{temporary}";expires=300'


def test_4_1_the_instance_is_named_and_gruu_supported() -> None:
    _, request = registering(instance_id="host/trunk")
    assert request.contact is not None
    assert re.fullmatch(
        r"<urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}>", request.contact.param("+sip.instance") or ""
    )
    assert f'+sip.instance="{account(instance_id="host/trunk").instance}"' in str(request.contact)
    assert request.headers.get_all("Supported") == ["path", "gruu"]
    assert request.contact.param("reg-id") is None  # RFC 5626 is not for UDP unless asked for


def test_the_instance_stays_the_same_over_restarts_and_differs_between_seeds() -> None:
    one, same, other = (account(instance_id=seed).instance for seed in ("host/trunk", "host/trunk", "host/shop"))
    assert one == same != other


@pytest.mark.parametrize("changes", [{}, {"instance_id": "x", "gruu": False}])
def test_without_a_seed_or_when_not_wanted_there_is_none(changes: dict[str, object]) -> None:
    solo, request = registering(**changes)
    assert "instance" not in str(request.contact)
    assert request.headers.get_all("Supported") == ["path"]
    solo.receive(reply(request, 200, Contact=granted(request.contact)))
    assert solo.endpoint.account_contact("trunk") is None


def test_4_2_what_the_registrar_grants_for_our_instance_is_taken() -> None:
    solo, request = registering(instance_id="host/trunk")
    other = '<sip:x@192.0.2.9>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>";pub-gruu="sip:x@h;gr=x"'
    solo.receive(reply(request, 200, Contact=f"{other}, {granted(request.contact)}"))
    assert str(solo.endpoint.account_contact("trunk")) == PUBLIC
    assert str(solo.endpoint.account_contact("trunk", anonymous=True)) == TEMPORARY


def test_4_2_our_instance_is_found_though_the_uri_was_rewritten_on_the_way() -> None:
    solo, request = registering(instance_id="host/trunk")
    instance = account(instance_id="host/trunk").instance.upper().replace("URN:UUID", "urn:uuid")
    ours = f'<sip:pay@203.0.113.5:1024>;+sip.instance="{instance}";pub-gruu="{PUBLIC}"'
    solo.receive(reply(request, 200, Contact=f"<sip:x@192.0.2.9>, {ours};expires=60"))
    assert str(solo.endpoint.account_contact("trunk")) == PUBLIC
    waited_s, _ = solo.next_request()
    assert waited_s <= 54


def test_4_2_each_2xx_replaces_the_temporary_one() -> None:
    solo, request = registering(instance_id="host/trunk")
    solo.receive(reply(request, 200, Contact=granted(request.contact)))
    _, refresh = solo.next_request()
    solo.receive(reply(refresh, 200, Contact=granted(refresh.contact, temporary="sip:t2@h;gr")))
    assert str(solo.endpoint.account_contact("trunk", anonymous=True)) == "sip:t2@h;gr"
    _, refresh = solo.next_request()
    solo.receive(accepted(refresh))
    assert solo.endpoint.account_contact("trunk") is None


@pytest.mark.parametrize("uri", ["sip:pay@pbx.example", "tel:+1;gr", "", "nonsense", "sip:a b;gr", "sip:@;gr"])
def test_3_1_what_is_no_gruu_is_not_taken(uri: str) -> None:
    solo, request = registering(instance_id="host/trunk")
    solo.receive(reply(request, 200, Contact=granted(request.contact, public=uri)))
    assert solo.endpoint.account_contact("trunk") is None
    assert solo.endpoint.account_contact("trunk", anonymous=True) is not None


def test_nobody_has_none() -> None:
    solo, _ = registering(instance_id="host/trunk")
    assert solo.endpoint.account_contact("trunk") is None
    assert solo.endpoint.account_contact("nobody") is None


def test_4_3_a_call_of_the_account_and_all_its_requests_have_the_gruu_as_contact() -> None:
    solo, request = registering(instance_id="host/trunk")
    solo.receive(reply(request, 200, Contact=granted(request.contact)))
    session = solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host="pbx.example")),
        offer=offer_of(BOB),
        gruu=solo.endpoint.account_contact("trunk"),
        now=solo.now,
    )
    solo.collect()
    invite = solo.last(Request)
    assert invite.headers.get("Contact") == f"<{PUBLIC}>"
    solo.receive(reply(invite, 200, Contact="<sip:alice@192.0.2.1>"))
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    bye = solo.last(Request)
    assert (bye.method, bye.headers.get("Contact")) == ("BYE", f"<{PUBLIC}>")
