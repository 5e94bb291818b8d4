"""From a bearer token to a key, in words."""

import pytest

from llm_service.access.authentication import Authenticator, require
from llm_service.access.keys import KeyStore, Scope
from llm_service.errors import AuthenticationFailed, PermissionDenied

pytestmark = pytest.mark.anyio

ALL = frozenset(Scope)
INFERENCE = frozenset({Scope.INFERENCE})


async def test_a_request_without_a_key_is_told_how_to_send_one(store: KeyStore) -> None:
    for nothing in (None, ""):
        with pytest.raises(AuthenticationFailed, match="Authorization: Bearer <key>"):
            await Authenticator(store).authenticate(nothing)


async def test_a_wrong_key_is_refused_without_being_repeated(store: KeyStore) -> None:
    with pytest.raises(AuthenticationFailed, match="not valid here") as caught:
        await Authenticator(store).authenticate("llms_SENTINEL")
    assert "SENTINEL" not in str(caught.value)


async def test_a_key_opens_what_its_scopes_say_and_nothing_else(store: KeyStore) -> None:
    _, secret = store.create("alice", INFERENCE)
    key = await Authenticator(store).authenticate(secret)
    require(key, Scope.INFERENCE)
    with pytest.raises(PermissionDenied, match=r"'alice' lacks the scope 'admin'.*inference"):
        require(key, Scope.ADMIN)


async def test_without_required_keys_anyone_may_use_but_not_administer(store: KeyStore) -> None:
    authenticator = Authenticator(store, require_keys=False)
    _, secret = store.create("alice", ALL)
    assert (await authenticator.authenticate(secret)).name == "alice"
    for bearer in (None, "sk-whatever-a-client-insists-on"):
        key = await authenticator.authenticate(bearer)
        assert (key.name, key.scopes) == ("anonymous", frozenset({Scope.INFERENCE, Scope.METRICS}))
