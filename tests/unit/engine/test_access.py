"""Who may call: the rules of the configuration, passwords, certificates, and what becomes of those who try."""

from __future__ import annotations

import logging

import pytest

from engine.access import Access, Evidence, open_access
from engine.access.gate import CACHED_SOURCES, EXPECTED_HOSTS, LINES_A_MINUTE
from engine.config import Config, parse
from engine.errors import ConfigError
from sip.address import Address, Transport
from sip.auth import authorization, parse_authorization, parse_challenge
from sip.events import InviteReceived
from sip.gate import DROP, Admission, Refusal, Verdict
from sip.message import Request, Response
from tests.support.sip_pair import BOB, Solo, entropy_of, make_endpoint
from tests.support.sip_peer import Caller

PASSWORD = "correct horse battery"
LISTENERS = {"127.0.0.1:5060": (1, 2), "tls:127.0.0.1:5061": (3,)}
PBX = Address("10.0.0.9", 5060, listener=1)
PHONE = Address("198.51.100.20", 40000, listener=1)
OTHER = Address("203.0.113.77", 5060, listener=1)
ROUTES = """
[connector.sandbox]
type = "sandbox"
[form.donation]
[[route]]
to = "pay"
form = "donation"
"""
PHONES = """
[[sip.access]]
name = "phones"
require = "digest"
algorithms = ["SHA-256", "MD5"]
[sip.user.frontdesk]
password_env = "FRONTDESK_PASSWORD"
[sip.user.backoffice]
password_env = "FRONTDESK_PASSWORD"
"""


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONTDESK_PASSWORD", PASSWORD)


def config_of(text: str) -> Config:
    return parse(text + ROUTES)


def access_of(text: str, names: tuple[str, ...] = ()) -> Access:
    return open_access(
        config_of(text), listeners=LISTENERS, entropy=entropy_of("access"), peer_names=lambda flow: names
    )


def invite(to: str = "pay", *, user_agent: str = "phone", answer: str = "", call_id: str = "call-1") -> Request:
    headers = f"User-Agent: {user_agent}" + (f"\nAuthorization: {answer}" if answer else "")
    return Caller(call_id=call_id, target=f"sip:{to}@{BOB.host}").invite(headers=headers)


def challenge_of(verdict: Verdict, number: int = 0) -> str:
    assert isinstance(verdict, Refusal)
    assert verdict.status == 401
    name, value = verdict.headers[number]
    assert name == "WWW-Authenticate"
    return value


def answer_to(
    verdict: Verdict,
    *,
    user: str = "frontdesk",
    password: str = PASSWORD,
    to: str = "pay",
    number: int = 0,
    count: int = 1,
    method: str = "INVITE",
) -> str:
    return authorization(
        parse_challenge(challenge_of(verdict, number)),
        username=user,
        password=password,
        method=method,
        uri=f"sip:{to}@{BOB.host}",
        nonce_count=count,
        cnonce="0a4f113b",
    )


def answered(access: Access, source: Address, now: float, **changes: str) -> Verdict:
    """Ask, take the challenge, answer it."""
    to = changes.get("to", "pay")
    first = access.judge(invite(to), source, now)
    answer = answer_to(first, **changes)  # type: ignore[arg-type]
    return access.judge(invite(to, answer=answer), source, now)


def fail(access: Access, source: Address, now: float, times: int, *, pause_s: float = 5.0) -> float:
    """Give wrong answers, patiently; return when it was over. Stops when nothing is answered any more."""
    for number in range(times):
        verdict = access.judge(invite(), source, now)
        if not isinstance(verdict, Refusal):
            break
        access.judge(invite(answer=answer_to(verdict, password=f"guess {number}")), source, now)
        now += pause_s
    return now


# -- rules ---------------------------------------------------------------------------------------------------------


def test_without_rules_loopback_is_open_and_everything_else_is_dropped() -> None:
    access = access_of("")
    local = Address("127.0.0.1", 5060, listener=1)
    assert access.judge(invite(), local, 1.0) == Admission(rule="allow")
    assert access.judge(invite(), Address("::ffff:127.0.0.1", 5060), 1.0) == Admission(rule="allow")
    assert access.judge(invite(), OTHER, 1.0) == DROP
    assert access.admit_source(local, 1.0)
    assert not access.admit_source(OTHER, 1.0)
    assert not access.admit_source(Address("fe80::1%eth0", 5060), 1.0)
    assert not access.admit_source(Address("no address", 1), 1.0)


def test_with_rules_loopback_is_open_only_when_it_is_written_out() -> None:
    local = Address("127.0.0.1", 5060, listener=1)
    rule = '[[sip.access]]\nname = "pbx"\nfrom = ["10.0.0.0/24"]\n'
    assert access_of(rule).judge(invite(), local, 1.0) == DROP
    written = '[sip]\nallow = ["127.0.0.0/8"]\n' + rule
    assert access_of(written).judge(invite(), local, 1.0) == Admission(rule="allow")


def test_the_first_rule_that_fits_decides_and_says_whether_the_peer_is_trusted() -> None:
    access = access_of(
        """
        [[sip.access]]
        name = "pbx"
        from = ["10.0.0.8/30"]
        trusted = true
        [[sip.access]]
        name = "office"
        from = ["10.0.0.0/8"]
        """
    )
    assert access.judge(invite(), PBX, 1.0) == Admission(rule="pbx", is_trusted=True)
    assert access.judge(invite(), Address("10.1.0.1", 5060, listener=1), 1.0) == Admission(rule="office")


def test_a_rule_can_hold_for_one_listener_only() -> None:
    access = access_of('[[sip.access]]\nname = "tls"\nfrom = ["0.0.0.0/0"]\nlistener = "tls:127.0.0.1:5061"\n')
    assert access.judge(invite(), OTHER._replace(listener=3, transport=Transport.TLS, flow=4), 1.0) != DROP
    assert access.judge(invite(), OTHER, 1.0) == DROP
    assert not access.admit_source(OTHER, 1.0)
    assert access.admit_source(OTHER._replace(listener=3, transport=Transport.TLS, flow=4), 1.0)


def test_who_is_known_by_address_is_told_that_this_user_is_not_to_be_had() -> None:
    access = access_of('[[sip.access]]\nname = "pbx"\nfrom = ["10.0.0.0/24"]\nto = ["pay"]\n')
    assert access.judge(invite("pay"), PBX, 1.0) == Admission(rule="pbx")
    assert access.judge(invite("save"), PBX, 1.0) == Refusal(403)
    assert access.judge(invite("pay"), OTHER, 1.0) == DROP
    ping = Caller(target=f"sip:{BOB.host}").write("OPTIONS")
    assert access.judge(ping, PBX, 1.0) == Admission(rule="pbx")


def test_a_registrar_is_admitted_by_its_address_whatever_the_rules_want() -> None:
    access = access_of(PHONES + '[[sip.access]]\nname = "desk"\nfrom = ["203.0.113.0/24"]\ntrusted = true\n')
    assert isinstance(access.judge(invite(), OTHER, 1.0), Refusal)
    access.allow(OTHER.host)
    assert access.judge(invite(), OTHER, 1.0) == Admission(rule="desk", is_trusted=True)
    access.allow(PHONE.host)
    assert access.judge(invite(), PHONE, 1.0) == Admission(rule="registrar")
    assert access.is_open(PHONE)


def test_whom_we_sent_a_request_may_answer_and_ask_nothing() -> None:
    access = access_of("")
    access.expect(OTHER.host)
    assert access.admit_source(OTHER, 1.0)
    assert access.judge(invite(), OTHER, 1.0) == DROP
    for number in range(EXPECTED_HOSTS + 10):
        access.expect(f"10.{number >> 8}.{number & 255}.1")
    assert not access.admit_source(OTHER, 1.0)


def test_what_comes_on_a_connection_of_ours_is_read_and_judged_by_its_address() -> None:
    access = access_of("")
    ours = OTHER._replace(listener=0, flow=7, transport=Transport.TLS)
    assert access.admit_source(ours, 1.0)
    assert access.judge(invite(), ours, 1.0) == DROP


def test_a_flood_of_sources_takes_no_room_without_bound() -> None:
    access = access_of(PHONES)
    for number in range(CACHED_SOURCES * 3):
        source = Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 5060, listener=1)
        assert access.admit_source(source, 1.0)
        access.judge_malformed(source, 1.0)
    assert len(access._cache) <= CACHED_SOURCES
    assert len(access._forgeable) <= 2 * 8192


# -- certificates --------------------------------------------------------------------------------------------------

MUTUAL = """
[[sip.access]]
name = "trunk"
require = "certificate"
certificates = ["pbx.example.com"]
trusted = true
"""
TLS = OTHER._replace(listener=3, transport=Transport.TLS, flow=9)


@pytest.mark.parametrize(
    "names", [("PBX.example.com",), ("sip:pbx.example.com",), ("other.example", "pbx.example.com")]
)
def test_a_certificate_with_the_name_is_let_in(names: tuple[str, ...]) -> None:
    assert access_of(MUTUAL, names).judge(invite(), TLS, 1.0) == Admission(rule="trunk", is_trusted=True)


@pytest.mark.parametrize("names", [("other.example",), ("*.example.com",), ("pbx.example.com.evil.example",)])
def test_a_certificate_with_another_name_is_refused(names: tuple[str, ...]) -> None:
    assert access_of(MUTUAL, names).judge(invite(), TLS, 1.0) == Refusal(403)


def test_without_a_certificate_or_a_connection_there_is_no_answer() -> None:
    assert access_of(MUTUAL).judge(invite(), TLS, 1.0) == DROP
    assert access_of(MUTUAL, ("pbx.example.com",)).judge(invite(), OTHER, 1.0) == DROP


# -- passwords -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1], ids=["SHA-256", "MD5"])
def test_a_right_password_lets_in(number: int) -> None:
    access = access_of(PHONES)
    first = access.judge(invite(), PHONE, 1.0)
    assert parse_challenge(challenge_of(first, number)).algorithm == ("SHA-256", "MD5")[number]
    verdict = access.judge(invite(answer=answer_to(first, number=number)), PHONE, 1.1)
    assert verdict == Admission(rule="phones", user="frontdesk")
    assert str(verdict) == "phones:frontdesk"


def test_the_endpoint_takes_a_call_with_a_right_password_and_tells_by_whom() -> None:
    made = make_endpoint(BOB)
    solo = Solo(type(made)(made._agent.config, entropy=entropy_of("digest"), gate=access_of(PHONES)))
    (first,) = solo.receive(invite(), PHONE)
    assert isinstance(first, Response)
    verdict = Refusal(first.status, tuple(("WWW-Authenticate", v) for v in first.headers.lines("WWW-Authenticate")))
    solo.assert_nothing_left()
    solo.receive(invite(answer=answer_to(verdict), call_id="call-2"), PHONE)
    assert solo.take(InviteReceived).admitted_by == "phones:frontdesk"


def without_nonce(verdict: Verdict) -> list[str]:
    challenges = [parse_challenge(challenge_of(verdict, number)) for number in (0, 1)]
    return [str(c).replace(c.nonce, "N" * len(c.nonce)).replace(c.opaque or "", "O") for c in challenges]


def test_nothing_tells_whether_a_user_exists_or_the_password_was_wrong() -> None:
    access = access_of(PHONES + '[[sip.access]]\nname = "never"\nrequire = "digest"\nto = ["x"]\n')
    seen = [
        answered(access, PHONE, 1.0, user="frontdesk", password="wrong"),
        answered(access, PHONE, 1.0, user="nobody", password="wrong"),
        answered(access, PHONE, 1.0, user="nobody", password=PASSWORD),
        access.judge(invite("pay"), PHONE, 1.0),
        access.judge(invite("unknown"), PHONE, 1.0),
        access.judge(invite(answer="Digest garbage"), PHONE, 1.0),
        access.judge(invite(answer="Basic abc"), PHONE, 1.0),
    ]
    assert len({tuple(without_nonce(verdict)) for verdict in seen}) == 1


def test_whether_a_user_may_be_dialled_is_told_to_those_only_who_know_a_password() -> None:
    access = access_of(PHONES.replace('require = "digest"', 'require = "digest"\nto = ["pay"]'))
    assert without_nonce(access.judge(invite("pay"), PHONE, 1.0)) == without_nonce(
        access.judge(invite("save"), PHONE, 1.0)
    )
    assert answered(access, PHONE, 1.0, to="pay") == Admission(rule="phones", user="frontdesk")
    assert answered(access, PHONE, 1.0, to="save") == Refusal(403)


def test_a_rule_can_name_who_may_answer() -> None:
    access = access_of(PHONES.replace('require = "digest"', 'require = "digest"\nusers = ["backoffice"]'))
    assert answered(access, PHONE, 1.0, user="backoffice") == Admission(rule="phones", user="backoffice")
    assert isinstance(answered(access, PHONE, 1.0, user="frontdesk"), Refusal)


def test_an_answer_that_was_used_is_not_taken_again_and_is_no_failure() -> None:
    access = access_of(PHONES)
    answer = answer_to(access.judge(invite(), PHONE, 1.0))
    assert isinstance(access.judge(invite(answer=answer), PHONE, 1.0), Admission)
    again = access.judge(invite(answer=answer), OTHER, 1.0)
    assert parse_challenge(challenge_of(again)).stale


def test_a_proxy_may_have_rewritten_the_request_uri() -> None:
    access = access_of(PHONES)
    answer = answer_to(access.judge(invite(), PHONE, 1.0), to="public-name")
    assert isinstance(access.judge(invite(answer=answer), PHONE, 1.0), Admission)
    assert isinstance(access.judge(invite("save", answer=answer), PHONE, 1.0), Refusal)  # once only


def test_an_answer_for_another_realm_is_none() -> None:
    access = access_of(PHONES)
    other = answer_to(access.judge(invite(), PHONE, 1.0)).replace('realm="paytone"', 'realm="elsewhere"')
    assert isinstance(access.judge(invite(answer=other), PHONE, 1.0), Refusal)
    both = Caller(target=f"sip:pay@{BOB.host}").invite(
        headers=f"Authorization: {other}\nAuthorization: {answer_to(access.judge(invite(), PHONE, 1.0))}"
    )
    assert isinstance(access.judge(both, PHONE, 1.0), Admission)


# -- failures and bans ---------------------------------------------------------------------------------------------


def test_ten_wrong_answers_in_a_minute_are_a_ban_of_five_minutes() -> None:
    access = access_of(PHONES)
    now = fail(access, PHONE, 1000.0, 10)
    (ban,) = access.bans(now)
    assert (ban.source, ban.length_s, ban.times, ban.is_proven) == (PHONE.host, 300.0, 1, True)
    assert access.judge(invite(), PHONE, now) == DROP
    assert not access.admit_source(PHONE, now)
    assert access.admit_source(OTHER, now)
    assert access.admit_source(PHONE, ban.until)
    assert isinstance(answered(access, PHONE, ban.until), Admission)


def test_each_further_ban_is_twice_as_long_up_to_the_longest() -> None:
    access = access_of(PHONES + "[sip.ban]\nfailures = 2\nwindow_s = 5\nfirst_s = 10\nlongest_s = 35\n")
    now, lengths = 1000.0, []
    for _ in range(4):
        (ban,) = access.bans(fail(access, PHONE, now, 2, pause_s=1.0))
        lengths.append(ban.length_s)
        now = ban.until + 1
    assert lengths == [10, 20, 35, 35]


def test_before_the_ban_answers_are_withheld_for_a_growing_while() -> None:
    access = access_of(PHONES)
    fail(access, PHONE, 1000.0, 6, pause_s=0.0)
    assert access.judge(invite(), PHONE, 1000.2) == DROP
    assert access.admit_source(PHONE, 1000.2)  # what belongs to a call still passes
    assert not access.bans(1000.2)
    assert isinstance(access.judge(invite(), PHONE, 1000.6), Refusal)


def test_failures_spread_over_more_than_the_window_are_no_ban() -> None:
    access = access_of(PHONES)
    now = fail(access, PHONE, 1000.0, 50, pause_s=7.0)
    assert not access.bans(now)


def test_a_phone_that_calls_and_calls_is_never_banned() -> None:
    access = access_of(PHONES)
    for number in range(500):
        assert isinstance(answered(access, PHONE, 1000.0 + number * 0.1), Admission)


def test_a_retransmitted_wrong_answer_counts_once() -> None:
    access = access_of(PHONES)
    wrong = answer_to(access.judge(invite(), PHONE, 1.0), password="typo")
    for number in range(50):
        assert isinstance(access.judge(invite(answer=wrong), PHONE, 1.0 + number / 10), Refusal)
    assert not access.bans(10.0)


def test_who_is_admitted_by_address_is_never_banned_unless_it_is_configured() -> None:
    rule = '[[sip.access]]\nname = "pbx"\nfrom = ["10.0.0.0/24"]\nto = ["pay"]\n' + PHONES
    for text, is_banned in ((rule, False), (rule + "[sip.ban]\nopen_too = true\n", True)):
        access = access_of(text)
        for number in range(100):
            access.judge_malformed(PBX, 1.0 + number)
        assert (not access.admit_source(PBX, 101.0)) is is_banned


def test_what_can_be_forged_shuts_out_udp_only() -> None:
    access = access_of(PHONES)
    for number in range(60):
        access.judge_malformed(PHONE, 1000.0 + number)
    assert not access.admit_source(PHONE, 1060.0)
    by_tls = PHONE._replace(transport=Transport.TLS, flow=5)
    assert access.admit_source(by_tls, 1060.0)
    assert isinstance(answered(access, by_tls, 1060.0), Admission)


def test_what_can_be_forged_never_shuts_out_for_longer_than_the_first_ban() -> None:
    access, now = access_of(PHONES), 1000.0
    for times in (1, 2, 3):
        for _ in range(60):
            access.judge_malformed(PHONE, now)
            now += 1
        (ban,) = access.bans(now)
        assert (ban.times, ban.length_s, ban.is_proven) == (times, 300.0, False)
        now = ban.until


def test_a_wrong_answer_without_our_opaque_can_be_forged() -> None:
    access = access_of(PHONES)
    for number in range(30):
        theirs = answer_to(access.judge(invite(), OTHER, 1000.0 + number * 10), password=f"guess {number}")
        access.judge(invite(answer=theirs), PHONE, 1000.0 + number)  # with a nonce that was sent elsewhere
    assert {ban.is_proven for ban in access.bans(1030.0) if ban.source == PHONE.host} == {False}


def test_who_gave_a_right_password_is_not_banned_for_what_anybody_could_have_forged() -> None:
    access = access_of(PHONES)
    assert isinstance(answered(access, PHONE, 1000.0), Admission)
    for number in range(200):
        access.judge_malformed(PHONE, 1001.0 + number / 10)
    assert access.admit_source(PHONE, 1021.0)
    fail(access, PHONE, 1021.0, 10)
    assert access.bans(1070.0)[0].is_proven  # guessing is no privilege


def test_a_scanner_gets_no_answer_where_a_password_is_wanted() -> None:
    access = access_of(PHONES + '[[sip.access]]\nname = "pbx"\nfrom = ["10.0.0.0/24"]\n')
    for name in ("friendly-scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "pplsip", "sip-scan", "SIPVicious"):
        assert access.judge(invite(user_agent=name), PHONE, 1.0) == DROP
    open_first = access_of('[[sip.access]]\nname = "pbx"\nfrom = ["10.0.0.0/24"]\n' + PHONES)
    assert open_first.judge(invite(user_agent="sipcli"), PBX, 1.0) == Admission(rule="pbx")


def test_dialling_about_is_a_ban_and_an_ipv6_customer_is_one_source() -> None:
    access = access_of(PHONES)
    for number in range(60):
        access.judge(invite(f"9{number}"), Address(f"2001:db8:1:2::{number:x}", 5060, listener=1), 1000.0 + number / 2)
    (ban,) = access.bans(1030.0)
    assert ban.source == "2001:db8:1:2::/64"
    assert not access.admit_source(Address("2001:db8:1:2:ffff::1", 5060, listener=1), 1030.0)
    assert access.admit_source(Address("2001:db8:1:3::1", 5060, listener=1), 1030.0)
    assert access.lift(ban.source)
    assert not access.lift(ban.source)
    assert access.admit_source(Address("2001:db8:1:2:ffff::1", 5060, listener=1), 1030.0)


def test_bans_can_be_switched_off() -> None:
    access = access_of(PHONES + "[sip.ban]\nenabled = false\n")
    now = fail(access, PHONE, 1000.0, 100, pause_s=0.1)
    assert access.bans(now) == ()
    assert isinstance(answered(access, PHONE, now), Admission)


def test_a_malformed_message_is_answered_to_open_sources_only() -> None:
    access = access_of(PHONES + '[[sip.access]]\nname = "pbx"\nfrom = ["10.0.0.0/24"]\n')
    assert access.judge_malformed(PBX, 1.0)
    assert not access.judge_malformed(PHONE, 1.0)


def test_whom_we_called_is_not_banned_for_bad_answers() -> None:
    access = access_of(PHONES)
    access.expect(PHONE.host)
    ours = OTHER._replace(listener=0, flow=3, transport=Transport.TCP)
    for number in range(50):
        access.judge_malformed(PHONE, 1000.0 + number)
        access.judge_malformed(ours, 1000.0 + number)
    assert access.bans(1050.0) == ()


# -- what is said about it -----------------------------------------------------------------------------------------


def test_logs_tell_the_ban_once_and_neither_names_nor_passwords(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    access = access_of(PHONES)
    now = fail(access, PHONE, 1000.0, 12)
    for number in range(1000):
        access.judge(invite(), PHONE, now + number / 100)
    said = [record for record in caplog.records if record.message == "a source is banned"]
    assert len(said) == 1
    text = "".join(str(vars(record)) for record in caplog.records) + repr(access) + repr(access.bans(now))
    assert PASSWORD not in text
    assert "frontdesk" not in text
    assert "guess" not in text


def test_a_flood_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    access = access_of('[[sip.access]]\nname = "trunk"\nrequire = "certificate"\n')
    for number in range(5000):
        access.judge(invite(), Address(f"10.0.{number >> 8}.{number & 255}", 5060, listener=1), 960.0 + number / 100)
    assert len(caplog.records) <= LINES_A_MINUTE
    access.judge(invite(), OTHER, 1100.0)
    assert "left_out" in str(vars(caplog.records[-1]))


def test_the_opaque_comes_back_and_belongs_to_one_source() -> None:
    access = access_of(PHONES)
    first = parse_challenge(challenge_of(access.judge(invite(), PHONE, 1.0)))
    again = parse_authorization(answer_to(access.judge(invite(), PHONE, 1.0)))
    assert again.opaque
    assert again.opaque != first.opaque


def test_every_kind_of_evidence_is_counted_for_the_console() -> None:
    assert {kind.value for kind in Evidence} >= {"wrong answer", "scanner", "malformed message"}


# -- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[sip.access]]\nname = "all"\n', "needs from"),
        ('[[sip.access]]\nname = "x"\nfrom = ["10.0.0.0/33"]\n', "from"),
        ('[[sip.access]]\nname = "x"\nrequire = "password"\n', "require"),
        ('[[sip.access]]\nname = "x"\nrequire = "digest"\n', "sip.user"),
        ('[[sip.access]]\nname = "x"\nfrom = ["::/0"]\nusers = ["a"]\n', "digest"),
        ('[[sip.access]]\nname = "x"\nfrom = ["::/0"]\ncertificates = ["a"]\n', "certificate"),
        ('[[sip.access]]\nname = "allow"\nfrom = ["::/0"]\n', "stand for"),
        ('[[sip.access]]\nname = "a"\nfrom = ["::/0"]\n[[sip.access]]\nname = "a"\nfrom = ["::/0"]\n', "same name"),
        (PHONES.replace('"digest"', '"digest"\nusers = ["nobody"]'), "nobody|sip.user"),
        (PHONES.replace('["SHA-256", "MD5"]', "[]"), "algorithms"),
        (PHONES.replace('["SHA-256", "MD5"]', '["MD5", "MD5"]'), "algorithms"),
        ("[sip.ban]\nfirst_s = 100\nlongest_s = 10\n", "longest_s"),
        ("[sip.ban]\nfailures = 0\n", "failures"),
        ('[sip]\nrealm = "a\\"b"\n', "realm"),
    ],
)
def test_a_mistake_in_the_rules_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        config_of(text)


def test_a_rule_for_a_listener_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"sip\.access\[0\]\.listener.*udp:10\.0\.0\.1:5060") as caught:
        access_of('[[sip.access]]\nname = "x"\nfrom = ["::/0"]\nlistener = "udp:10.0.0.1:5060"\n')
    assert "127.0.0.1:5060" in caught.value.remedy


def test_a_password_that_can_be_guessed_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONTDESK_PASSWORD", "hunter2hunt")
    with pytest.raises(ConfigError, match="less than 12") as caught:
        access_of(PHONES)
    assert "hunter2" not in f"{caught.value} {caught.value.remedy}"


def test_by_default_the_challenge_is_one_that_every_telephone_can_answer() -> None:
    access = access_of(PHONES.replace('algorithms = ["SHA-256", "MD5"]\n', ""))
    verdict = access.judge(invite(), PHONE, 1.0)
    assert isinstance(verdict, Refusal)
    assert [parse_challenge(value).algorithm for _, value in verdict.headers] == ["MD5"]
    assert isinstance(answered(access, PHONE, 1.0), Admission)


def test_a_password_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRONTDESK_PASSWORD")
    with pytest.raises(ConfigError, match=r"FRONTDESK_PASSWORD") as caught:
        access_of(PHONES)
    assert caught.value.where == "sip.user.frontdesk.password_env"
