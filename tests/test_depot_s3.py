"""The storage as an S3 that is really there, away, or slow to answer: moto's, on this machine."""

import http.server
import threading

import psutil
import pytest

from dermtune.arguments import parse
from dermtune.depot import Carrier, Depot, DepotError, Store, collect, store
from dermtune.depot.store import _opened
from dermtune.ledger import SweepFolder
from tests.depots import TRIAL, finished, on_node, trained
from tests.tracking_server import ACCESS, BUCKET, free_port, s3, s3_client


@pytest.fixture
def server(monkeypatch):
    """Endpoint of an S3 that the environment names."""
    with s3() as endpoint:
        for name, value in {**ACCESS, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        _opened.cache_clear()
        yield endpoint
    _opened.cache_clear()


def process_of(endpoint):
    """That of the S3, which is a child of ours."""
    port = endpoint.rpartition(":")[2]
    return next(child for child in psutil.Process().children() if port in child.cmdline())


@pytest.fixture
def depot(server):
    return Depot(store=Store(uri=f"s3://{BUCKET}/sweeps"), key="sweep-1", patience=60.0, last_patience=60.0)


def test_a_trial_that_moved_between_nodes_comes_home_through_s3_and_leaves_nothing_there(tmp_path, depot, server):
    Carrier(depot, trained(on_node(tmp_path, "a"), 3)).epoch(pytest.fail)
    elsewhere = on_node(tmp_path, "b")
    carrier = Carrier(depot, elsewhere)
    carrier.bring(pytest.fail)
    assert elsewhere.epochs_kept() == 1
    finished(elsewhere)
    carrier.deliver()
    trial = SweepFolder(tmp_path / "ledger").trial(TRIAL)
    collect(depot, trial)
    assert trial.is_done()
    assert trial.manifest() == elsewhere.manifest()
    listed = s3_client(server).list_objects_v2(Bucket=BUCKET).get("Contents", ())
    assert [one["Key"] for one in listed if one["Size"]] == []


def test_an_s3_that_does_not_answer_for_a_while_is_waited_for(tmp_path, depot, server, monkeypatch):
    monkeypatch.setattr(store, "SILENCE", 1)
    Carrier(depot, trained(on_node(tmp_path, "a"), 3)).epoch(pytest.fail)
    process = process_of(server)
    process.suspend()
    with pytest.raises(DepotError, match="must let us list"):
        depot.parcels(TRIAL, patience=0.0)
    goes_on = threading.Timer(3.0, process.resume)  # longer than a request waits
    goes_on.start()
    assert [parcel.step for parcel in depot.parcels(TRIAL)] == [3]
    goes_on.join()


class Overloaded(http.server.BaseHTTPRequestHandler):
    """An S3 that answers 503 twice and takes what comes then."""

    def do_PUT(self):
        self.server.n_asked += 1
        self.send_response(503 if self.server.n_asked < 3 else 200)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def overloaded(monkeypatch):
    """Such a one, which the environment names."""
    with http.server.HTTPServer(("127.0.0.1", 0), Overloaded) as server:
        server.n_asked = 0
        answering = threading.Thread(target=server.serve_forever)
        answering.start()
        for name, value in {**ACCESS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}.items():
            monkeypatch.setenv(name, value)
        _opened.cache_clear()
        yield server
        server.shutdown()
        answering.join()
    _opened.cache_clear()


def test_an_s3_that_answers_an_error_is_asked_again_as_long_as_there_is_patience_and_no_longer(overloaded):
    at = Store(uri=f"s3://{BUCKET}/sweeps")
    with pytest.raises(DepotError, match="must let us write here"):
        at.send_bytes(b"dermtune", "here", patience=0.0)
    assert overloaded.n_asked == 1
    at.send_bytes(b"dermtune", "here", patience=60.0)
    assert overloaded.n_asked == 3


def test_a_sweep_that_is_over_waits_for_no_s3(overloaded):
    depot = Depot(store=Store(uri=f"s3://{BUCKET}/sweeps"), key="sweep-1").until(lambda: overloaded.n_asked > 0)
    for _ in range(2):
        with pytest.raises(DepotError, match="must let us write here"):
            depot.store.send_bytes(b"dermtune", "here", patience=60.0)
    assert overloaded.n_asked == 1


@pytest.mark.parametrize("where", ["another bucket", "another port"])
def test_an_s3_that_cannot_be_used_is_told_in_a_line_without_a_secret(server, where):
    uri = f"s3://{BUCKET if where == 'another port' else 'nowhere'}/sweeps"
    if where == "another port":
        uri += f"?endpoint_override=127.0.0.1:{free_port()}&scheme=http"
    with pytest.raises(DepotError) as refused:
        Depot(store=Store(uri=uri), key="sweep-1").check()
    said = str(refused.value)
    assert said.startswith(f"{uri.partition('?')[0]} must let us write sweep-1/")
    assert "\n" not in said
    assert [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if ACCESS[name] in said] == []


@pytest.mark.parametrize(
    ("uri", "must"),
    [
        ("s3://anna:geheim@lab/sweeps", "must hold no user and no password"),
        ("s3:///sweeps", "must be s3://BUCKET/PREFIX or file:///FOLDER"),
        ("file://host/folder", "must be s3://BUCKET/PREFIX or file:///FOLDER"),
        ("runs", "must be s3://BUCKET/PREFIX or file:///FOLDER"),
        ("s3://lab/sweeps?access_key=geheim", "may set endpoint_override, region, scheme of S3"),
    ],
)
def test_a_uri_that_is_no_storage_or_holds_a_secret_is_refused_without_showing_it(uri, must, capsys):
    with pytest.raises(SystemExit):
        parse(["question.py", "--storage", uri])
    said = capsys.readouterr().err
    assert must in said
    assert "geheim" not in said
