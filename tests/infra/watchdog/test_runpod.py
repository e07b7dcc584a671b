"""The provider's client: what counts as an answer, and where the key goes."""

from datetime import UTC, datetime

import pytest

from infra.watchdog.machine import KeyRefusedError, Machine, ProviderError
from infra.watchdog.runpod import KEY, Patience, RunPod
from tests.infra.watchdog import fake_runpod
from tests.infra.watchdog.fake_runpod import HANG, TRICKLE


@pytest.fixture
def client(runpod):
    runpod.rent("abc", now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp())
    return RunPod(fake_runpod.KEY, url=runpod.url, patience=Patience(timeout=20, retries=2, pause=0.01))


def test_a_pod_is_read_as_the_api_documents_it_a_price_in_a_text_among_it(client):
    machine = Machine(
        id="abc",
        name="dermtune-abc",
        status="RUNNING",
        usd_per_hour=2.0,
        started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp(),
        host="192.0.2.7",
        port=10022,
    )
    assert client.get("abc") == machine
    assert client.list() == [machine]


def test_a_pod_that_has_no_address_yet_and_a_senseless_price_is_a_pod(client, runpod):
    for price in (None, 0, "0", -1, "nan", [], {}, "cheap", 10**400):
        runpod.rent("new", costPerHr=price, publicIp="", portMappings=None, lastStartedAt=None)
        machine = client.get("new")
        assert (machine.usd_per_hour, machine.host, machine.port, machine.started) == (None, None, None, None)


def test_only_404_says_that_there_is_none(client, runpod):
    assert client.get("other") is None
    for status in (400, 418, 500, 503):
        runpod.before = lambda _, status=status: (status, {})
        with pytest.raises(ProviderError, match=f"GET .*/pods/other.*{status}|TooMany|ResponseError"):
            client.get("other")


ODD = [
    {"portMappings": {"22": 1e999}},
    {"portMappings": {"22": -1}},
    {"portMappings": 7},
    {"publicIp": {}},
    {"lastStartedAt": 12},
    {"lastStartedAt": "0001-01-01T00:00:00+23:59"},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_is_odd_about_a_colleagues_pod_hides_no_other(client, runpod, odd):
    runpod.rent("other", **odd)
    assert [machine.id for machine in client.list()] == ["abc", "other"]


def test_a_pod_that_is_another_than_the_one_asked_for_is_no_answer(client, runpod):
    runpod.before = lambda _: (200, {"id": "other"})
    with pytest.raises(ProviderError, match="it tells of another"):
        client.get("abc")


def test_an_answer_that_never_ends_is_left_after_a_while(runpod):
    """Each byte comes in time, and the last one never."""
    client = RunPod(fake_runpod.KEY, url=runpod.url, patience=Patience(timeout=0.3, retries=0))
    runpod.before = lambda _: TRICKLE
    with pytest.raises(ProviderError, match=r"no (whole )?answer"):
        client.get("abc")
    assert not runpod.trickled_out, "it would still send"


def test_an_answer_without_measure_is_not_read_to_its_end(client, runpod, monkeypatch):
    monkeypatch.setattr("infra.watchdog.runpod.LARGEST", 1 << 20)
    runpod.before = lambda _: (200, b"[" + b" " * (1 << 20) + b"]")
    with pytest.raises(ProviderError, match="must be answered by 1 MB at most"):
        client.list()


def test_accounts_are_told_apart_by_their_keys_and_keys_are_not_told(client, runpod):
    again = RunPod(fake_runpod.KEY, url=runpod.url, patience=Patience(timeout=20))
    other = RunPod("another", url=runpod.url, patience=Patience(timeout=20))
    assert client.account == again.account != other.account
    assert fake_runpod.KEY not in client.account


@pytest.mark.parametrize("answer", [(500, {}), (503, {}), (429, {}), HANG])
def test_what_fails_once_is_asked_again_soon_whatever_the_server_says_about_when(runpod, answer):
    runpod.rent("abc")
    patience = Patience(timeout=1 if answer == HANG else 20, retries=3, pause=0.01)
    client = RunPod(fake_runpod.KEY, url=runpod.url, patience=patience)
    first = []

    def before(request):
        if not first:
            first.append(request)
            return answer
        return None

    runpod.before = before
    assert client.get("abc").id == "abc"
    assert runpod.times_asked("GET /pods/abc") == 2


def test_it_is_asked_no_more_often_than_was_allowed(client, runpod):
    runpod.before = lambda _: (500, {})
    with pytest.raises(ProviderError):
        client.list()
    assert runpod.asked == ["GET /pods"] * 3


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"{}", b'[{"name": "no id"}]', b'["abc"]', b'[{"id": 7}]', b"[" * 100_000]
)
def test_a_list_that_is_none_is_no_answer(client, runpod, body):
    runpod.before = lambda _: (200, body)
    with pytest.raises(ProviderError, match=r"GET http://127.0.0.1:.*/pods must"):
        client.list()


def test_ending_a_pod_that_is_gone_is_no_error_and_ending_one_is_a_delete(client, runpod):
    assert client.terminate("abc") is True
    assert client.terminate("abc") is False, "there is none to end"
    assert runpod.asked == ["DELETE /pods/abc"] * 2


def test_a_key_that_is_refused_is_told_by_its_name_and_never_by_itself(runpod):
    client = RunPod("canary-of-another", url=runpod.url, patience=Patience(timeout=20))
    with pytest.raises(KeyRefusedError) as refused:
        client.list()
    assert str(refused.value) == f"{KEY} must be a key that {runpod.url} takes, it answers 401"
    assert runpod.asked == ["GET /pods"]


def test_a_redirect_is_not_followed_for_the_key_would_go_with_it(client, runpod):
    runpod.before = lambda request: (302, {}) if "stolen" not in request else (200, [])
    with pytest.raises(ProviderError, match="is answered 302"):
        client.list()
    assert runpod.asked == ["GET /pods"]


def test_nobody_there_is_no_answer(client, runpod):
    nobody = RunPod(fake_runpod.KEY, url="http://127.0.0.1:9", patience=Patience(timeout=20, retries=1, pause=0.01))
    with pytest.raises(ProviderError, match=r"no answer \(NewConnectionError\)"):
        nobody.get("abc")
