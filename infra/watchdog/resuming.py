"""A machine that a watchdog before has left, as the next one goes on with it."""

from dataclasses import replace

from dermtune.validation import UserError
from infra.watchdog.decision import resumed
from infra.watchdog.journal import Charge
from infra.watchdog.machine import Provider


class AccountError(UserError):
    """The provider or the account that is asked is not the one where the machine was; a sentence."""


def taken_up(charge: Charge, provider: Provider, now: float) -> Charge:
    """The machine, to be watched again by this provider's answers.

    Another account's key knows no such machine either, which must not be taken for its end. Raises AccountError;
    ProviderError where the key is another one and the provider does not answer.
    """
    if charge.api_url != provider.url:
        raise AccountError(f"--api-url must be {charge.api_url}, where {charge.machine_id} was, got {provider.url}")
    if charge.account not in ("", provider.account) and provider.get(charge.machine_id) is None:
        raise AccountError(
            f"the key must be of the account where {charge.machine_id} was: it is another than before, and knows "
            "no such machine; where that is gone indeed, remove its folder in the journal"
        )
    return replace(charge, account=provider.account, state=resumed(charge.state, now))
