"""Configuration: what is accepted, and that each mistake is reported with its key and its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import Config, RouteConfig, default_text, load, parse
from engine.errors import ConfigError
from sip.address import Transport

ROOT = Path(__file__).parents[3]


def test_the_embedded_defaults_serve_on_loopback_with_the_sandbox() -> None:
    config = load(None)
    assert config.sip.address == ("127.0.0.1", 5060)
    assert config.sip.next_free_port
    assert config.route_for("pay") == RouteConfig(to="pay", form="donation")
    assert config.forms["donation"].connector == "sandbox"
    assert config.connectors["sandbox"].type == "sandbox"


def test_the_commented_example_is_valid_and_shows_every_section() -> None:
    text = (ROOT / "examples" / "paytone.toml").read_text(encoding="utf-8")
    config = parse(text)
    assert config.forms["donation"].prompts[1].errors == ("invalid-card-number",)
    shown = {line.strip("[] ").split(".")[0] for line in text.replace("# [", "[").splitlines() if line.startswith("[")}
    names = {field.alias or name for name, field in Config.model_fields.items()}
    assert names <= {entry.split("]")[0] for entry in shown}


def test_the_embedded_defaults_and_the_example_agree_on_what_the_defaults_are() -> None:
    example = parse((ROOT / "examples" / "paytone.toml").read_text(encoding="utf-8"))
    assert example.media == Config().media
    assert example.prompts == Config().prompts
    assert example.log == Config().log
    assert example.sip == Config().sip


@pytest.mark.parametrize(
    ("text", "line", "key", "why"),
    [
        ('[sip]\nlisten = "nowhere"\n', 2, "sip.listen", "HOST:PORT"),
        ('[sip]\nlisten = "0.0.0.0:5060"\n', 1, "sip", "advertise"),
        ('[sip]\nlisten = "127.0.0.1:99999"\n', 2, "sip.listen", "HOST:PORT"),
        ('[sip]\nlisten = "sctp:127.0.0.1:5060"\n', 2, "sip.listen", "no transport"),
        ('[sip]\nlisten = "tls:127.0.0.1:5061"\n', 1, "sip", "certificate and key in [sip.tls]"),
        ('[sip]\nlisten = ["127.0.0.1:5060", "tcp:127.0.0.1:5060"]\n', 2, "sip.listen", "twice"),
        ('[sip]\nlisten = ["127.0.0.1:5060", "[::]:5060"]\n', 1, "sip", "advertise"),
        ('[sip]\nlisten = ["127.0.0.1:5060", "0.0.0.0:5061"]\nadvertise = "2001:db8::1"\n', 1, "sip", "advertise"),
        ("[sip]\nlisten = []\n", 2, "sip.listen", "one address"),
        ("[sip]\nlisten = 5060\n", 2, "sip.listen", "one address"),
        ('[sip.tls]\nkey = "a.key"\n', 1, "sip.tls", "key without certificate"),
        ('[sip.tls]\nclient_certificates = "required"\n', 1, "sip.tls", "authorities"),
        ('[sip.tls]\nclient_certificates = "yes"\n', 2, "sip.tls.client_certificates", "'none', 'optional'"),
        ("[sip.connections]\nmax = 0\n", 2, "sip.connections.max", "1"),
        ("[sip.connections]\nidle_s = 1\n", 2, "sip.connections.idle_s", "10"),
        ('[sip.websocket]\norigins = ["pay.example.com"]\n', 2, "sip.websocket.origins", "https://"),
        ("[sip]\n\nfoo = 1\n", 3, "sip.foo", "not permitted"),
        ("[media]\nports = [100, 200]\n", 2, "media.ports", "1024"),
        ('[media]\ncodecs = ["PCMU", "G729"]\n', 2, "media.codecs", "one or more of PCMU, PCMA, G722, L16, opus"),
        ('[media]\ncodecs = ["pcmu"]\n', 2, "media.codecs", "PCMU"),
        ("[media]\ncodecs = []\n", 2, "media.codecs", "one or more"),
        ('[media]\ncodecs = ["PCMU", "PCMU"]\n', 2, "media.codecs", "none twice"),
        ('[media]\ncodec_policy = "mine"\n', 2, "media.codec_policy", "'theirs' or 'ours'"),
        ('[media]\nsrtp = "on"\n', 2, "media.srtp", "'off', 'preferred' or 'required'"),
        ('[media]\nsrtp_suites = ["AES_CM_128"]\n', 2, "media.srtp_suites", "AES_CM_128_HMAC_SHA1_80"),
        ("[media]\ndscp = 64\n", 2, "media.dscp", "63"),
        ("[media]\ndscp = -1\n", 2, "media.dscp", "0"),
        ("[media]\ncpu_affinity = [1, 1]\n", 2, "media.cpu_affinity", "twice"),
        ("[media]\ncpu_affinity = [-1]\n", 2, "media.cpu_affinity[0]", "greater than or equal to 0"),
        ("[media]\nrealtime_priority = 100\n", 2, "media.realtime_priority", "99"),
        ("[media]\nthreads = 0\n", 2, "media.threads", "1"),
        ('[form.a]\namount = 2.5\nconnector = "x"\n', 2, "form.a.amount", "binary fractions"),
        ('[connector.x]\ntype = "sandbox"\n[form.a]\nconnector = "y"\n', 4, "form.a.connector", "known: x"),
        ('[[route]]\nto = "1"\nform = "b"\n[[route]]\nto = "2"\nform = "c"\n', 6, "route[1].form", "no [form.c]"),
        ('[connector.x]\ntype = "signalwire"\nurl = "http://h/"\n', 1, "connector.x", "https://"),
        ('[connector.x]\ntype = "signalwire"\nurl = "https://u:p@h/"\n', 1, "connector.x", "url_env"),
        ('[connector.x]\ntype = "sandbox"\nfaults = 3\n', 3, "connector.x.faults", "tuple"),
        ('[connector.x]\ntype = "paypal"\n', 1, "connector.x", "expected tags"),
        ('[account.x]\nregistrar = "tel:1"\nuser = "a"\n', 2, "account.x.registrar", "SIP URI"),
        ('[account.x]\nregistrar = "sip:me@pbx"\nuser = "a"\n', 2, "account.x.registrar", "without a user"),
        ('[account.x]\nregistrar = "sip:pbx;transport=sctp"\nuser = "a"\n', 2, "account.x.registrar", "udp, tls"),
        ('[account.x]\nregistrar = "sips:pbx;transport=udp"\nuser = "a"\n', 2, "account.x.registrar", "TLS"),
        ('[account.x]\nuser = ""\nregistrar = "sip:pbx"\n', 2, "account.x.user", "user part"),
        ('[account.x]\nuser = "a b"\nregistrar = "sip:pbx"\n', 2, "account.x.user", "user part"),
        (
            '[account.x]\nregistrar = "sip:pbx"\nuser = "a"\noutbound_proxy = "proxy"\n',
            4,
            "account.x.outbound_proxy",
            "SIP URI",
        ),
        (
            '[account.x]\nregistrar = "sip:pbx"\nuser = "a"\nauth_user = "a\\r\\nb"\n',
            4,
            "account.x.auth_user",
            "pattern",
        ),
        ('[account.x]\nregistrar = "sip:pbx"\nuser = "a"\noutbound = "yes"\n', 4, "account.x.outbound", "'auto', 'on'"),
    ],
)
def test_a_mistake_is_reported_with_key_and_line(text: str, line: int, key: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, name="paytone.toml")
    assert any(
        entry.startswith(f"paytone.toml:{line}: {key}: ") and why in entry for entry in str(caught.value).splitlines()
    ), str(caught.value)
    assert caught.value.remedy


def test_what_the_media_section_takes() -> None:
    media = parse(
        '[media]\ncodecs = ["opus", "L16"]\ncodec_policy = "ours"\nsrtp = "required"\n'
        'srtp_suites = ["AES_CM_128_HMAC_SHA1_80"]\nrtcp_mux = false\ndscp = 0\ncpu_affinity = [2, 3]\n'
        "realtime_priority = 10\nthreads = 2\n"
    ).media
    assert (media.codecs, media.codec_policy) == (("opus", "L16"), "ours")
    assert (media.srtp, media.srtp_suites, media.rtcp_mux) == ("required", ("AES_CM_128_HMAC_SHA1_80",), False)
    assert (media.dscp, media.cpu_affinity, media.realtime_priority, media.threads) == (0, (2, 3), 10, 2)


def test_encryption_is_preferred_unless_told_otherwise() -> None:
    media = Config().media
    assert (media.srtp, media.rtcp_mux, media.codecs) == ("preferred", True, ("PCMU", "PCMA", "G722"))
    assert media.srtp_suites[0] == "AEAD_AES_256_GCM"


def test_text_that_is_no_toml_is_reported_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"paytone\.toml: not valid TOML.*line 2"):
        parse("[sip]\nlisten = \n", name="paytone.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing-here"):
        load(tmp_path / "nothing-here.toml")


def test_a_secret_in_a_url_is_never_repeated_in_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[connector.x]\ntype = "signalwire"\nurl = "https://user:hunter2@host/"\n')
    assert "hunter2" not in str(caught.value)


def test_a_star_route_is_the_last_resort() -> None:
    text = default_text() + '\n[[route]]\nto = "*"\nform = "save-card"\n'
    config = parse(text)
    assert config.route_for("pay") == RouteConfig(to="pay", form="donation")
    assert config.route_for("anything") == RouteConfig(to="*", form="save-card")


@given(st.text(max_size=300))
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    try:
        parse(text)
    except ConfigError:
        pass


def test_an_address_without_a_transport_means_udp_and_tcp_and_the_first_one_is_the_engines() -> None:
    sip = parse(
        '[sip]\nlisten = ["10.0.0.2:5060", "tls:[2001:db8::2]:5061", "ws:10.0.0.2:8080", "UDP:10.0.0.2:5070"]\n'
        '[sip.tls]\ncertificate = "engine.pem"\n'
    ).sip
    assert sip.listeners == (
        (Transport.UDP, "10.0.0.2", 5060),
        (Transport.TCP, "10.0.0.2", 5060),
        (Transport.TLS, "2001:db8::2", 5061),
        (Transport.WS, "10.0.0.2", 8080),
        (Transport.UDP, "10.0.0.2", 5070),
    )
    assert sip.address == ("10.0.0.2", 5060)


def test_the_advertised_address_stands_for_sockets_of_its_family() -> None:
    sip = parse('[sip]\nlisten = ["0.0.0.0:5060", "[2001:db8::2]:5060"]\nadvertise = "192.0.2.1"\n').sip
    assert [sip.advertised_host(address.host) for address in sip.listeners] == 2 * ["192.0.2.1"] + 2 * ["2001:db8::2"]


@pytest.mark.parametrize(
    "registrar",
    [
        "sip:pbx.example.com",
        "sip:10.0.0.2:5070",
        "sip:[::1]:5060",
        "sip:pbx;transport=tcp",
        "sip:pbx;transport=TLS",
        "sips:pbx",
        "sips:pbx;transport=tcp",
    ],
)
def test_a_registrar_is_a_sip_uri_with_any_transport_we_speak(registrar: str) -> None:
    text = (
        f'[account.x]\nregistrar = "{registrar}"\nuser = "a"\noutbound_proxy = "{registrar};lr"\ncontact_user = "b"\n'
    )
    account = parse(text).accounts["x"]
    assert account.registrar == registrar
    assert account.outbound_proxy == f"{registrar};lr"
    assert (account.outbound, account.gruu, account.contact_user) == ("auto", False, "b")
