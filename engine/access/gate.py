"""The gate of an engine (``sip.gate``): the rules of ``[[sip.access]]``, digest authentication, and bans.

Laws: the first rule that fits decides. Whoever no rule admits gets no answer. A challenge is the same whether the
dialled user, the name in the answer or the password was wrong, and whether this user may call that number: nothing
tells who exists. A source that a rule admits by its address is never banned, unless ``open_too`` says so: with UDP
anybody could have it banned by forging its address. Elsewhere what could be forged and what could not are held apart
(``bans``): an answer that carries the ``opaque`` we sent to that very address has been there (RFC 7616 §3.3), and so
has what comes over a connection. What could be forged shuts out UDP only, never for longer than the first ban, and
nobody who gave a right password within the last hour.

Nothing here waits. Passwords are kept as H(user:realm:password) only, and are in no text.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from engine.access.bans import Ban, BanBook, Evidence, source_key
from engine.config import Config, SipConfig, secret_from_environment
from engine.errors import ConfigError
from engine.log import fields
from engine.metrics import ACCESS_FAILURES, ACCESS_VERDICTS, BANS
from sip.address import Address
from sip.auth import DigestAnswer, parse_authorization
from sip.digest_server import DigestServer, Outcome
from sip.errors import ParseError
from sip.gate import DROP, Admission, Refusal, Verdict
from sip.message import Request

__all__ = ("Access", "open_access")

log = logging.getLogger("engine.access")

MIN_PASSWORD = 12
"Characters: whoever reads an answer on the way can try passwords at leisure, whatever the algorithm."
CACHED_SOURCES = 4096
EXPECTED_HOSTS = 1024
"Hosts that we sent requests to, and whose responses are let in."
MAX_ANSWERS = 4
"Authorization headers of one request that are looked at."
LINES_A_MINUTE = 30
"Log lines about strangers: a flood must not fill the disk."
SECRET_OCTETS = 32

# What they call themselves. It is no protection: whoever wants to writes another name.
_SCANNER = re.compile(
    "friendly-scanner|friendly-request|sipvicious|sipcli|sip-?scan|pplsip|vaxs?ip|sundayddr|siparmyknife|iwar", re.I
)

_HASHES = {"SHA-256": "sha256", "MD5": "md5"}
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    name: str
    require: str = "nothing"
    listeners: frozenset[int] | None = None
    networks: tuple[_Network, ...] = ()
    to: frozenset[str] = frozenset()
    certificates: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    algorithms: tuple[str, ...] = ()
    is_trusted: bool = False

    def takes_from(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, listener: int) -> bool:
        """Return whether a source is meant."""
        if self.listeners is not None and listener not in self.listeners:
            return False
        return not self.networks or any(address in network for network in self.networks)

    def takes(self, request: Request) -> bool:
        return not self.to or request.method != "INVITE" or (request.uri.user or "") in self.to

    def admission(self, user: str = "") -> Admission:
        return Admission(rule=self.name, user=user, is_trusted=self.is_trusted)


class _Seen(NamedTuple):
    key: str
    rules: tuple[_Rule, ...]
    is_registrar: bool
    may_pass: bool
    is_open: bool


_NOWHERE = _Seen("", (), is_registrar=False, may_pass=False, is_open=False)


class _Sayings:
    """So many log lines a minute; what was left out is counted in the next."""

    def __init__(self) -> None:
        self._minute = -1
        self._said = self._left_out = 0

    def say(self, level: int, text: str, now: float, **values: object) -> None:
        if self._minute != int(now // 60):
            self._minute, self._said = int(now // 60), 0
        if self._said >= LINES_A_MINUTE:
            self._left_out += 1
            return
        self._said += 1
        if self._left_out:
            values["left_out"] = self._left_out
            self._left_out = 0
        log.log(level, text, extra=fields(**values))


class Access:
    """Who may ask something here; implements ``sip.gate.Gate``, and filters sources for the network layer.

    ``listeners`` maps each text of `sip.listen` to the ids of its listeners, ``passwords`` user names to passwords.
    ``entropy(n)`` returns n unpredictable octets. ``dials(user)`` tells whether a dialled user leads anywhere here,
    ``peer_names(flow)`` which names the verified certificate of a connection's peer bears. All times are monotonic
    seconds. Raises ``ConfigError`` for a rule whose listener is not there.
    """

    def __init__(
        self,
        config: SipConfig,
        *,
        listeners: Mapping[str, Collection[int]],
        passwords: Mapping[str, str],
        entropy: Callable[[int], bytes],
        dials: Callable[[str], bool] = lambda user: True,
        peer_names: Callable[[int], tuple[str, ...]] = lambda flow: (),
    ) -> None:
        self._rules = _compile(config, listeners)
        self._registrars: set[str] = set()
        self._expected: OrderedDict[str, None] = OrderedDict()
        self._cache: dict[tuple[str, int], _Seen] = {}
        self._realm = config.realm
        self._servers = {
            rule.algorithms: DigestServer(config.realm, entropy(SECRET_OCTETS), algorithms=rule.algorithms)
            for rule in self._rules
            if rule.algorithms
        }
        self._secret = entropy(SECRET_OCTETS)
        self._ha1 = {
            (user, algorithm): _ha1(algorithm, user, config.realm, password)
            for user, password in passwords.items()
            for algorithm in _HASHES
        }
        self._dials = dials
        self._peer_names = peer_names
        self._ban = config.ban
        self._proven, self._forgeable = (
            BanBook(
                failures=config.ban.failures,
                window_s=config.ban.window_s,
                first_s=config.ban.first_s,
                longest_s=config.ban.longest_s if is_proven else config.ban.first_s,
                is_proven=is_proven,
            )
            for is_proven in (True, False)
        )
        self._sayings = _Sayings()

    # -- sources, before anything is parsed ------------------------------------------------------------------------

    def admit_source(self, source: Address, now: float) -> bool:
        """Return whether what comes from ``source`` is worth parsing: it may fit a rule, and is not banned."""
        seen = self._look_up(source.host, source.listener)
        if source.flow and not source.listener:
            return True  # a connection that we opened
        return seen.may_pass and not self._is_shut_out(seen, source, now, only_banned=True)

    def allow(self, host: str) -> None:
        """Admit one more address, such as a registrar's, by the rule ``registrar``."""
        self._registrars.add(_literal(ipaddress.ip_address(host)))
        self._cache.clear()

    def expect(self, host: str) -> None:
        """Let responses of ``host`` come in: a request was sent there. It may not ask anything by that."""
        if host in self._expected:
            self._expected.move_to_end(host)
            return
        if len(self._expected) >= EXPECTED_HOSTS:
            self._expected.popitem(last=False)
        self._expected[host] = None
        self._cache.clear()

    def is_open(self, source: Address) -> bool:
        """Return whether a rule admits ``source`` by its address alone (``sip.gate.Gate``)."""
        return self._look_up(source.host, source.listener).is_open

    # -- requests --------------------------------------------------------------------------------------------------

    def judge(self, request: Request, source: Address, now: float) -> Verdict:
        """Judge a request of a stranger (``sip.gate.Gate``)."""
        seen = self._look_up(source.host, source.listener)
        if self._is_shut_out(seen, source, now):
            return self._say_verdict("", DROP)
        is_known = False  # by its address, though not for this
        closed = None  # a rule that would ask for a password if another user were dialled
        for rule in seen.rules:
            if seen.is_registrar and rule.require != "nothing":
                continue
            if rule.takes(request):
                return self._say_verdict(rule.name, self._apply(rule, request, seen, source, now))
            is_known = is_known or rule.require == "nothing"
            if closed is None and rule.require == "digest":
                closed = rule
        if seen.is_registrar:
            return self._say_verdict("registrar", Admission(rule="registrar"))
        if is_known:
            return self._say_verdict("", Refusal(403))
        if closed is not None:
            return self._say_verdict(closed.name, self._ask(closed, request, seen, source, now, is_closed=True))
        self._note(Evidence.CLOSED, seen, source, now)
        self._sayings.say(logging.INFO, "no access rule admits a request", now, source=source.host)
        return self._say_verdict("", DROP)

    def judge_malformed(self, source: Address, now: float) -> bool:
        """Count a malformed message; return whether ``source`` may be told (``sip.gate.Gate``)."""
        seen = self._look_up(source.host, source.listener)
        # Nobody whom we called is to be shut out for bad answers.
        if source.host not in self._expected and not (source.flow and not source.listener):
            self._note(Evidence.MALFORMED, seen, source, now)
        return seen.is_open and not self._is_shut_out(seen, source, now)

    def _apply(self, rule: _Rule, request: Request, seen: _Seen, source: Address, now: float) -> Verdict:
        if rule.require == "nothing":
            return rule.admission()
        if rule.require == "digest":
            return self._ask(rule, request, seen, source, now)
        names = {name.lower().removeprefix("sip:") for name in self._peer_names(source.flow)} if source.flow else set()
        if names and (not rule.certificates or names & rule.certificates):
            return rule.admission()
        self._note(Evidence.CLOSED, seen, source, now)
        self._sayings.say(
            logging.INFO, "a certificate that the rule wants is not shown", now, rule=rule.name, source=source.host
        )
        # Whoever holds a certificate of our authorities may know that it is the wrong one.
        return Refusal(403) if names else DROP

    def _ask(
        self, rule: _Rule, request: Request, seen: _Seen, source: Address, now: float, *, is_closed: bool = False
    ) -> Verdict:
        """Check a password, or ask for one; ``is_closed``: the user is not to be had, which only a known one learns."""
        if _SCANNER.search(request.headers.get("User-Agent") or ""):
            self._note(Evidence.SCANNER, seen, source, now)
            return DROP
        line, answer = self._answer_in(request)
        if line is None:
            is_lost = request.method == "INVITE" and not self._dials(request.uri.user or "")
            self._note(Evidence.UNKNOWN_USER if is_lost else Evidence.CHALLENGED, seen, source, now)
            return self._challenge(rule, seen, now)
        outcome = self._servers[rule.algorithms].check(
            line,
            method=request.method,
            # RFC 3261 §22.4: proxies rewrite the Request-URI, so another URI in the answer is no failure (SIPp leaves
            # the user out). An answer is good for one request, so what it was made for cannot be swapped later.
            uri=str(request.uri) if answer is None else answer.uri,
            body=request.body,
            now=now,
            find_ha1=lambda user, algorithm: self._ha1.get((user, algorithm)) if user in rule.users else None,
        )
        if outcome is Outcome.ACCEPTED and answer is not None:
            self._proven.vouch(seen.key, now)
            self._forgeable.vouch(seen.key, now)
            return Refusal(403) if is_closed else rule.admission(answer.username)
        if outcome is Outcome.STALE:
            self._note(Evidence.CHALLENGED, seen, source, now)
            return self._challenge(rule, seen, now, stale=True)
        has_been_here = answer is not None and hmac.compare_digest(
            (answer.opaque or "").encode("utf-8", "surrogateescape"), self._opaque(seen, answer.nonce).encode()
        )
        self._note(Evidence.WRONG_ANSWER, seen, source, now, is_proven=has_been_here, mark=hash(line) or 1)
        return self._challenge(rule, seen, now)

    def _answer_in(self, request: Request) -> tuple[str | None, DigestAnswer | None]:
        """Return the answer for our realm, as text and read, else one that cannot be read; None for none."""
        unreadable = None
        for line in request.headers.lines("Authorization")[:MAX_ANSWERS]:
            try:
                answer = parse_authorization(line)
            except ParseError:
                unreadable = line
                continue
            if answer.realm == self._realm:
                return line, answer
        return unreadable, None

    def _challenge(self, rule: _Rule, seen: _Seen, now: float, *, stale: bool = False) -> Refusal:
        return Refusal(
            401,
            tuple(
                ("WWW-Authenticate", str(replace(challenge, opaque=self._opaque(seen, challenge.nonce))))
                for challenge in self._servers[rule.algorithms].challenges(now, stale=stale)
            ),
        )

    def _opaque(self, seen: _Seen, nonce: str) -> str:
        text = f"{seen.key}\n{nonce}".encode("utf-8", "surrogateescape")
        return hashlib.blake2s(text, key=self._secret, digest_size=12).hexdigest()

    # -- what is held against sources ------------------------------------------------------------------------------

    def bans(self, now: float) -> tuple[Ban, ...]:
        """Return the bans that are in force, the first to end first."""
        return tuple(sorted(self._proven.bans(now) + self._forgeable.bans(now), key=lambda ban: ban.until))

    def lift(self, source: str) -> bool:
        """End the bans of a source as ``bans`` names it; False when it had none."""
        lifted = self._proven.lift(source)
        return self._forgeable.lift(source) or lifted

    def _is_shut_out(self, seen: _Seen, source: Address, now: float, *, only_banned: bool = False) -> bool:
        if not self._ban.enabled or (seen.is_open and not self._ban.open_too):
            return False
        # A forged datagram must not keep out who comes by a connection.
        books = (self._proven,) if source.transport.is_reliable else (self._proven, self._forgeable)
        if only_banned:
            return any(book.is_banned(seen.key, now) for book in books)
        return any(book.is_shut_out(seen.key, now) for book in books)

    def _note(
        self, kind: Evidence, seen: _Seen, source: Address, now: float, *, is_proven: bool = False, mark: int = 0
    ) -> None:
        ACCESS_FAILURES.labels(kind=kind.value).inc()
        if not self._ban.enabled or not seen.key or (seen.is_open and not self._ban.open_too):
            return
        is_proven = is_proven or source.transport.is_reliable
        book = self._proven if is_proven else self._forgeable
        ban = book.note(seen.key, kind, now, mark=mark)
        if ban is not None:
            BANS.labels(proof="proven" if is_proven else "forgeable").inc()
            self._sayings.say(
                logging.WARNING,
                "a source is banned",
                now,
                source=ban.source,
                seconds=round(ban.length_s),
                times=ban.times,
                last=kind.value,
            )

    def _say_verdict(self, rule: str, verdict: Verdict) -> Verdict:
        if isinstance(verdict, Admission):
            name = "admitted"
        elif isinstance(verdict, Refusal):
            name = "challenged" if verdict.status == 401 else "refused"
        else:
            name = "dropped"
        ACCESS_VERDICTS.labels(rule=rule, verdict=name).inc()
        return verdict

    # -- which rules concern a source ------------------------------------------------------------------------------

    def _look_up(self, host: str, listener: int) -> _Seen:
        seen = self._cache.get((host, listener))
        if seen is None:
            seen = self._classify(host, listener)
            if len(self._cache) >= CACHED_SOURCES:
                self._cache.clear()
            self._cache[host, listener] = seen
        return seen

    def _classify(self, host: str, listener: int) -> _Seen:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return _NOWHERE
        address = getattr(address, "ipv4_mapped", None) or address
        rules = tuple(rule for rule in self._rules if rule.takes_from(address, listener))
        is_registrar = str(address) in self._registrars
        return _Seen(
            source_key(address),
            rules,
            is_registrar=is_registrar,
            may_pass=bool(rules) or is_registrar or host in self._expected,
            is_open=is_registrar or any(rule.require == "nothing" for rule in rules),
        )


def open_access(
    config: Config,
    *,
    listeners: Mapping[str, Collection[int]],
    entropy: Callable[[int], bytes],
    peer_names: Callable[[int], tuple[str, ...]] = lambda flow: (),
) -> Access:
    """Return the gate of a configuration; reads the passwords from the environment. Raises ``ConfigError``."""
    passwords = {}
    for name, user in config.sip.users.items():
        where = f"sip.user.{name}.password_env"
        passwords[name] = secret_from_environment(user.password_env, where)
        if len(passwords[name]) < MIN_PASSWORD:
            raise ConfigError(
                f"the password in {user.password_env} has less than {MIN_PASSWORD} characters",
                where=where,
                remedy="draw one: openssl rand -base64 18",
            )
    return Access(
        config.sip,
        listeners=listeners,
        passwords=passwords,
        entropy=entropy,
        dials=lambda user: config.route_for(user) is not None,
        peer_names=peer_names,
    )


def _compile(config: SipConfig, listeners: Mapping[str, Collection[int]]) -> tuple[_Rule, ...]:
    rules = []
    for index, rule in enumerate(config.access):
        if rule.listener and rule.listener not in listeners:
            raise ConfigError(
                f"{rule.listener} is not listened on",
                where=f"sip.access[{index}].listener",
                remedy=f"write it as in sip.listen: {', '.join(listeners) or 'there is none'}",
            )
        rules.append(
            _Rule(
                name=rule.name,
                require=rule.require,
                listeners=frozenset(listeners[rule.listener]) if rule.listener else None,
                networks=tuple(ipaddress.ip_network(network, strict=False) for network in rule.networks),
                to=frozenset(rule.to),
                certificates=frozenset(name.lower() for name in rule.certificates),
                users=frozenset(rule.users or config.users),
                algorithms=rule.algorithms if rule.require == "digest" else (),
                is_trusted=rule.trusted,
            )
        )
    networks = tuple(ipaddress.ip_network(network, strict=False) for network in config.open_networks)
    if networks:
        rules.append(_Rule(name="allow", networks=networks))
    return tuple(rules)


def _literal(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


def _ha1(algorithm: str, user: str, realm: str, password: str) -> str:
    """Return H(username:realm:password) in hexadecimal (RFC 7616 §3.4.2)."""
    return hashlib.new(_HASHES[algorithm], f"{user}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()
