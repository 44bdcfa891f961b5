"""Which connector a document means, and whether it can take the payment: known before the caller hears anything."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config import UnknownConnectorError, parse
from engine.connectors import Capabilities, Twilio, check
from engine.connectors.sandbox import SandboxGateway
from engine.connectors.signalwire import SignalWire
from engine.connectors.stripe import Stripe
from engine.pay.order import PayOrder
from engine.pay.submission import Operation, PaymentMethod, TokenType


def config_with(*names: str) -> Any:
    return parse("\n".join(f'[connector.{name}]\ntype = "sandbox"' for name in names))


class TestNames:
    @pytest.mark.parametrize(
        ("configured", "wanted", "meant"),
        [
            (("shop", "Default"), "", "Default"),
            (("shop", "Default"), "Default", "Default"),
            (("shop", "default"), "", "default"),
            (("shop", "Default"), "shop", "shop"),
            (("shop", "bank"), "SHOP", "shop"),
            (("Shop", "shop"), "shop", "shop"),
            (("Default", "DEFAULT"), "DEFAULT", "DEFAULT"),
            (("shop",), "", "shop"),
            (("shop",), "Default", "shop"),
            (("shop",), "default", "shop"),
        ],
    )
    def test_name_means(self, configured: tuple[str, ...], wanted: str, meant: str) -> None:
        assert config_with(*configured).connector_for(wanted) == meant

    @pytest.mark.parametrize(
        ("configured", "wanted", "reason"),
        [
            (("shop", "bank"), "", "which of bank, shop"),
            (("shop",), "bank", "known: shop"),
            (("Shop", "sHop"), "shop", "which of Shop, sHop"),
            ((), "", "known: none"),
            (("default", "DEFAULT"), "", "which of DEFAULT, default"),
            (("shop",), "x" * 10_000, "known: shop"),
        ],
    )
    def test_name_that_means_none_is_64004(self, configured: tuple[str, ...], wanted: str, reason: str) -> None:
        with pytest.raises(UnknownConnectorError, match=reason) as caught:
            config_with(*configured).connector_for(wanted)
        assert caught.value.pay_error_code == 64004
        assert len(str(caught.value)) < 200


CARD, BANK = PaymentMethod.CREDIT_CARD, PaymentMethod.ACH_DEBIT
CHARGE: dict[str, Any] = {"amount": "10.00"}


class TestCapabilities:
    @pytest.mark.parametrize(
        ("can", "order", "code"),
        [
            ({}, {}, None),
            ({}, CHARGE, None),
            ({}, {"method": BANK}, 64013),
            ({"methods": frozenset({BANK})}, {}, 64013),
            ({"methods": frozenset({CARD, BANK})}, {"method": BANK, **CHARGE}, None),
            ({"operations": frozenset({Operation.CHARGE})}, {}, 64005),
            ({"operations": frozenset({Operation.CHARGE})}, {"amount": "0.00"}, 64005),
            ({"operations": frozenset({Operation.CHARGE})}, CHARGE, None),
            ({"operations": frozenset({Operation.TOKENIZE})}, CHARGE, 64007),
            ({"operations": frozenset({Operation.TOKENIZE})}, {}, None),
            ({}, {"token_type": "payment-method"}, 64006),
            ({}, {"token_type": "payment-method", **CHARGE}, None),
            ({"token_types": frozenset(TokenType)}, {"token_type": "payment-method"}, None),
            ({"currencies": frozenset({"usd"})}, {"currency": "EUR", **CHARGE}, 64011),
            ({"currencies": frozenset({"usd"})}, {"currency": "USD", **CHARGE}, None),
            ({"currencies": frozenset({"usd"})}, {"currency": "EUR"}, None),
        ],
    )
    def test_order_is_refused_with(self, can: dict[str, Any], order: dict[str, Any], code: int | None) -> None:
        refusal = check(Capabilities(**can), PayOrder(**order))
        assert (refusal and refusal.pay_error_code) == code
        assert refusal is None or refusal.message

    @pytest.mark.parametrize(
        ("connector", "code"),
        [(SignalWire("gw", url="https://a.example"), 64013), (Twilio("gw", url="https://a.example"), None)],
        ids=["signalwire", "twilio"],
    )
    def test_bank_debits_go_to_who_takes_them(self, connector: SignalWire | Twilio, code: int | None) -> None:
        refusal = check(connector.capabilities, PayOrder(method=BANK))
        assert (refusal and refusal.pay_error_code) == code

    @pytest.mark.parametrize(
        ("amount", "currency", "code"),
        [
            ("1.230", "kwd", None),
            ("1.234", "kwd", 64003),
            ("5", "jpy", None),
            ("5.00", "clf", 64011),
            ("", "kwd", None),
        ],
    )
    def test_what_stripes_units_cannot_say_is_refused_before_the_caller_hears_anything(
        self, amount: str, currency: str, code: int | None
    ) -> None:
        refusal = check(Stripe("s", key="sk_test_x").capabilities, PayOrder(amount=amount, currency=currency))
        assert (refusal and refusal.pay_error_code) == code

    @pytest.mark.asyncio
    async def test_the_sandbox_takes_everything(self, tmp_path: Any) -> None:
        sandbox = await SandboxGateway.open("s", database=str(tmp_path / "s.sqlite3"))
        await sandbox.close()
        for method in PaymentMethod:
            for token_type in TokenType:
                assert check(sandbox.capabilities, PayOrder(method=method, token_type=token_type)) is None
