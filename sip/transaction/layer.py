"""The transaction layer (RFC 3261 §17): which message belongs to which transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sip.address import Address, Listener, Transport, choose_listener
from sip.headers import MAGIC_COOKIE, Headers, Via
from sip.message import Request, Response
from sip.timers import TimerQueue, TimerValues
from sip.transaction.invite_client import InviteClientTransaction, build_cancel
from sip.transaction.invite_server import InviteServerTransaction, InviteServerUser
from sip.transaction.machine import ClientTransaction, ClientUser, Input, ServerTransaction, Transaction
from sip.transaction.non_invite_client import NonInviteClientTransaction
from sip.transaction.non_invite_server import NonInviteServerTransaction

__all__ = ("TransactionLayer",)

BRANCH_OCTETS = 12
"Entropy in a branch: responses are matched by it alone, so it must not be guessed."

WITHOUT_TCP_S = 600.0
"How long a peer that refused TCP gets its long requests by UDP."
MAX_WITHOUT_TCP = 1024

Key = tuple[str, ...]


class Send(Protocol):
    """How datagrams leave."""

    def __call__(self, data: bytes, destination: Address, *, again: bool) -> None:
        """Queue a datagram; ``again`` counts it as a retransmission."""


class TransactionLayer:
    """All transactions of one endpoint. ``listeners`` say what our Via says.

    A request that is longer than ``tcp_above`` octets goes by TCP, and by UDP after all when the peer takes no TCP
    (§18.1.1).
    """

    def __init__(
        self,
        *,
        values: TimerValues,
        timers: TimerQueue,
        send: Send,
        entropy: Callable[[int], bytes],
        listeners: tuple[Listener, ...],
        tcp_above: int | None = None,
    ) -> None:
        self.values = values
        self.timers = timers
        self._send = send
        self._entropy = entropy
        self._listeners = listeners
        self._tcp_above = tcp_above
        self._without_tcp: dict[tuple[str, int], float] = {}  # until when
        self._clients: dict[Key, ClientTransaction] = {}
        self._servers: dict[Key, ServerTransaction] = {}
        self._requests: dict[Key, Key] = {}  # what makes a request the same one (§8.2.2.2) -> its transaction

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def send(self, data: bytes, destination: Address, *, again: bool) -> None:
        """Queue a datagram."""
        self._send(data, destination, again=again)

    def forget(self, transaction: Transaction) -> None:
        """Drop a transaction that is over."""
        if isinstance(transaction, ClientTransaction):
            self._clients.pop(transaction.key, None)
            return
        self._servers.pop(transaction.key, None)
        if not isinstance(transaction, ServerTransaction) or transaction.identity is None:
            return
        if self._requests.get(transaction.identity) == transaction.key:
            del self._requests[transaction.identity]

    def abandon(self, transaction: Transaction) -> None:
        """End a transaction without telling its user: an INVITE whose CANCEL had no effect (§9.1)."""
        self.timers.disarm_all(transaction)
        self.forget(transaction)
        transaction.release()

    # -- client side -----------------------------------------------------------------------------------------------

    def put_via(self, request: Request, destination: Address) -> None:
        """Put our Via on top, with a branch that was never used. RFC 3581 §3: rport is always asked for."""
        request.headers = Headers([("Via", self._new_via(destination)), *request.headers.items()])

    def _new_via(self, destination: Address) -> str:
        sent_by = choose_listener(self._listeners, destination).sent_by
        branch = f"{MAGIC_COOKIE}{self._entropy(BRANCH_OCTETS).hex()}"
        return f"SIP/2.0/{destination.transport} {sent_by};branch={branch};rport"

    def request(self, request: Request, destination: Address, user: ClientUser, now: float) -> ClientTransaction:
        """Send a request in a transaction of its own; its Via is put on here."""
        self.put_via(request, destination)
        limit = self._tcp_above
        if (
            destination.transport is not Transport.UDP
            or limit is None
            or len(request.serialize()) <= limit
            or self._takes_no_tcp(destination, now)
        ):
            return self._start(request, destination, user, now)
        by_tcp = destination._replace(transport=Transport.TCP, listener=0)
        request.headers.set_first("Via", self._new_via(by_tcp))
        transaction = self._start(request, by_tcp, user, now)
        transaction.fallback = destination
        return transaction

    def cancel(self, invite: ClientTransaction, user: ClientUser, now: float) -> ClientTransaction:
        """Send the CANCEL of an INVITE: the same Via, a transaction of its own (§9.1)."""
        return self._start(build_cancel(invite.request), invite.destination, user, now)

    def _takes_no_tcp(self, destination: Address, now: float) -> bool:
        """Whether a peer refused TCP a while ago: a firewall that swallows it costs seconds at each call."""
        until = self._without_tcp.get((destination.host, destination.port))
        return until is not None and now < until

    def _start(self, request: Request, destination: Address, user: ClientUser, now: float) -> ClientTransaction:
        key = (request.via.branch or "", request.method)
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(self, key, request, destination, user)
        self._clients[key] = transaction
        transaction.start(now)
        return transaction

    def receive_response(self, response: Response, now: float) -> bool:
        """Pass a response to its transaction (§17.1.3); False when there is none."""
        transaction = self._clients.get((response.via.branch or "", response.cseq.method))
        if transaction is None:
            return False
        transaction.receive(response, now)
        return True

    def transport_error(self, destination: Address, now: float) -> None:
        """Tell the transactions that wait for a first response from ``destination`` that the network refused."""
        for transaction in [t for t in self._clients.values() if t.destination == destination]:
            if transaction.fallback is None or not transaction.is_unanswered:
                transaction.feed(Input.TRANSPORT_ERROR, now)
                continue
            # §18.1.1: the peer takes no TCP, so the message goes by UDP, however long it is.
            fallback, transaction.fallback = transaction.fallback, None
            self._without_tcp[fallback.host, fallback.port] = now + WITHOUT_TCP_S
            if len(self._without_tcp) > MAX_WITHOUT_TCP:
                del self._without_tcp[next(iter(self._without_tcp))]
            del self._clients[transaction.key]
            transaction.request.headers.set_first("Via", self._new_via(fallback))
            key = (transaction.request.via.branch or "", transaction.request.method)
            self._clients[key] = transaction
            transaction.restart(key, fallback, now)

    def flow_closed(self, flow: int, now: float) -> None:
        """Tell the transactions that wait for a first response on a connection that it is gone."""
        for transaction in [t for t in self._clients.values() if t.destination.flow == flow]:
            transaction.feed(Input.TRANSPORT_ERROR, now)

    # -- server side -----------------------------------------------------------------------------------------------

    def receive_request(self, request: Request, now: float) -> bool:
        """Give a retransmission, or the ACK of a refusal, to its transaction (§17.2.3); False when there is none."""
        transaction = self._servers.get(_server_key(request))
        if transaction is None:
            return False
        if request.method == "ACK":
            transaction.feed(Input.ACK, now, request)
        else:
            transaction.feed(Input.REQUEST, now, request)
        return True

    def find_invite(self, cancel: Request) -> InviteServerTransaction | None:
        """Find the INVITE that a CANCEL means (§9.2)."""
        transaction = self._servers.get(_server_key(cancel, method="INVITE"))
        return transaction if isinstance(transaction, InviteServerTransaction) else None

    def has_invite(self, via: Via) -> bool:
        """Whether an INVITE with this top Via came before (§17.2.3); for branches with the magic cookie only."""
        return _branch_key(via, "INVITE") in self._servers

    def is_merged(self, request: Request) -> bool:
        """Whether a request without To tag came before on another path (§8.2.2.2: answer 482)."""
        key = self._requests.get(_identity(request))
        return key is not None and key != _server_key(request)

    def serve_invite(self, request: Request, destination: Address, user: InviteServerUser) -> InviteServerTransaction:
        """Open the transaction of an INVITE that came in."""
        transaction = InviteServerTransaction(self, _server_key(request), request, destination, user)
        self._remember(transaction)
        return transaction

    def serve(self, request: Request, destination: Address) -> ServerTransaction:
        """Open the transaction of another request that came in."""
        transaction = NonInviteServerTransaction(self, _server_key(request), request, destination)
        self._remember(transaction)
        return transaction

    def _remember(self, transaction: ServerTransaction) -> None:
        self._servers[transaction.key] = transaction
        if transaction.request.to.tag is None:
            transaction.identity = _identity(transaction.request)
            self._requests[transaction.identity] = transaction.key


def _server_key(request: Request, *, method: str | None = None) -> Key:
    via = request.via
    wanted = method or ("INVITE" if request.method == "ACK" else request.method)
    if via.has_cookie:
        # §17.2.3: branch, sent-by and method; a peer's branch is unique only together with the peer.
        return _branch_key(via, wanted)
    # As RFC 2543 did it. The To tag is left out: an ACK has ours, the INVITE had none, and Call-ID, From tag and CSeq
    # are enough to tell two requests of one peer apart. Via is compared by its sent-by, which we do not rewrite.
    return (
        "",
        str(request.uri),
        request.from_.tag or "",
        request.call_id,
        str(request.cseq.number),
        via.host.lower(),
        str(via.port or 5060),
        via.branch or "",
        wanted,
    )


def _branch_key(via: Via, method: str) -> Key:
    return (via.branch or "", via.host.lower(), str(via.port or 5060), method)


def _identity(request: Request) -> Key:
    return (request.from_.tag or "", request.call_id, str(request.cseq.number), request.cseq.method)
