"""W&B itself, against a server of our own that says what was uploaded, that refuses, or that isn't there."""

import json
import logging
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from skinlab.errors import UserError
from skinlab.evaluation.predictions import predictions_table
from skinlab.settings.base import create
from skinlab.settings.groups import LoggerSettings
from skinlab.tracking.loggers import check_loggers, close_loggers, log_outcome, open_loggers

wandb = pytest.importorskip("wandb")

SETTINGS = {"project": "p", "entity": None, "name": None, "group": "g", "tags": ["t"], "offline": False}
CONFIG = {"run_id": "abc123", "model": {"name": "resnet18"}, "seed": 3}


class Server(ThreadingHTTPServer):
    """What wandb's client needs of a server, and no more; ``refuse`` names operations to be refused."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.refuse = set()
        self.files, self.operations, self.variables = {}, [], {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, operation, variables):
        if operation == "Viewer":
            return {"viewer": {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        if operation == "UpsertBucket":
            self.variables = self.variables or variables
            project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}}
            bucket = {"id": "x", "name": variables["name"], "displayName": "d", "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/up/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}
        return {}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server, operation, content = self.server, None, {}
        if self.path == "/graphql":
            content = json.loads(body)
            operation = (re.search(r"(?:query|mutation)\s+(\w+)", content["query"]) or [None, None])[1]
            server.operations.append(operation)
        elif self.path.endswith("file_stream"):
            for name, part in json.loads(body).get("files", {}).items():
                server.files.setdefault(name, []).extend(part["content"])
        elif self.path.startswith("/up/"):
            server.files[self.path] = body
        if operation in server.refuse:
            return self.reply(403, {"errors": [{"message": "permission denied"}]})
        return self.reply(200, {"data": server.answer(operation, content.get("variables") or {})})

    do_PUT = do_POST  # noqa: N815

    def do_GET(self):
        self.reply(200, {})

    def reply(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The server, known to wandb by the environment, with a well-formed key."""
    server = Server()
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", 40 * "a")
    for name in ("NETRC", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    wandb.teardown()  # its settings are read once a process
    yield server
    wandb.teardown()
    server.shutdown()
    server.server_close()


def open_run(run_dir, **settings):
    run_dir.mkdir(exist_ok=True)
    return open_loggers(create(LoggerSettings, {"wandb": SETTINGS | settings}), run_dir, CONFIG)


def offline_runs(run_dir):
    return sorted((run_dir / "wandb").glob("offline-run-*"))


def told(caplog):
    """What skinlab's own log says; W&B's is not shown to anyone."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("skinlab")]


def test_curves_config_and_summary_arrive_without_a_word(server, tmp_path, caplog, capfd):
    with caplog.at_level(logging.INFO):
        loggers = open_run(tmp_path / "run")
        loggers[0].log_metrics({"epoch": 0, "val/loss": 0.5}, 9)
        loggers[0].log_summary({"val/loss": 0.25, "test/f1_macro": 0.75, "init_used": "random"})
        close_loggers(loggers)
    config = yaml.safe_load(server.files["/up/config.yaml"])
    assert config["model"]["value"] == CONFIG["model"]
    assert config["code"]["value"]["skinlab"]
    assert server.variables["displayName"] == "run"
    assert (server.variables["groupName"], server.variables["tags"]) == ("g", ["t"])
    history = [json.loads(line) for line in server.files["wandb-history.jsonl"]]
    assert (history[0]["val/loss"], history[0]["trainer/global_step"]) == (0.5, 9)
    summary = json.loads(server.files["/up/wandb-summary.json"])
    assert (summary["val/loss"], summary["test/f1_macro"], summary["init_used"]) == (0.25, 0.75, "random")
    assert told(caplog) == [f"W&B: {server.url}/me/p/runs/abc123"]
    assert capfd.readouterr() == ("", "")
    assert wandb.run is None


def test_a_job_of_a_sweep_has_its_group_and_tags_beside_those_of_the_settings(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_GROUP", "sweep_1")
    monkeypatch.setenv("WANDB_TAGS", "sweep,loss=focal")
    close_loggers(open_run(tmp_path / "0", group=None))
    assert (server.variables["groupName"], server.variables["tags"]) == ("sweep_1", ["t", "sweep", "loss=focal"])


def test_offline_is_honoured_and_one_directory_is_one_run(server, tmp_path, caplog):
    run_dir = tmp_path / "my run"
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            loggers = open_run(run_dir, offline=True)
            assert loggers[0].version == "abc123"
            loggers[0].log_metrics({"a": 1.0}, 1)
            close_loggers(loggers)
    assert server.operations == []
    assert len(offline_runs(run_dir)) == 2
    assert told(caplog) == 2 * [f"W&B is offline; to upload: wandb sync '{run_dir}/wandb'/offline-run-*"]


def test_pictures_of_the_predictions_are_logged(server, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.jpg")
    rows = pd.DataFrame({"image_id": ["a", "b"], "path": str(tmp_path / "a.jpg"), "label": ["mel", "nv"]})
    rows = rows.assign(group="g", source="s", fold=-1, split="test")
    loggers = open_run(tmp_path, offline=True)
    (tmp_path / "predictions").mkdir()
    table = predictions_table(rows, np.array([[0.2, 0.8], [0.1, 0.9]]), ["mel", "nv"])
    table.to_csv(tmp_path / "predictions" / "test.csv", index=False)
    log_outcome(loggers, tmp_path, {"test/f1_macro": 0.75}, step=10)
    assert loggers[0].experiment.summary["test/f1_macro"] == 0.75
    assert not loggers[0].lost
    close_loggers(loggers)
    (offline_run,) = offline_runs(tmp_path)
    tables = {path.name.split("_table_")[0]: path for path in offline_run.glob("files/media/table/test/*.json")}
    assert tables.keys() >= {"confusion_matrix", "pr_curves"}
    (mistakes,) = offline_run.glob("files/media/table/test/worst_mistakes*.json")
    assert [row[1:4] for row in json.loads(mistakes.read_text())["data"]] == [["a", "mel", "nv"]]


def test_a_run_left_open_is_not_taken_over(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    open_run(tmp_path / "first")
    second = open_loggers(create(LoggerSettings, {"wandb": SETTINGS}), tmp_path, CONFIG | {"run_id": "other"})
    assert second[0].version == "other"
    close_loggers(second)


@pytest.mark.parametrize(("name", "value"), [("project", "a/b"), ("tags", [70 * "t"])])
def test_names_that_wandb_refuses_are_reported_before_anything_starts(name, value):
    with pytest.raises(UserError, match=r"^logger=wandb: .*; change that setting of logger\.wandb, or WANDB_MODE$"):
        check_loggers(create(LoggerSettings, {"wandb": SETTINGS | {name: value}}))


@pytest.mark.parametrize("name", ["WANDB_BASE_URL", "WANDB_INIT_TIMEOUT"])
def test_variables_that_wandb_refuses_are_named(monkeypatch, name):
    monkeypatch.setenv(name, "zzz")
    with pytest.raises(UserError, match=f"{name}=zzz: .*unset it"):
        check_loggers(create(LoggerSettings, {"wandb": SETTINGS}))


def test_a_mode_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match="ofline"):
        check_loggers(create(LoggerSettings, {"wandb": SETTINGS}))


@pytest.mark.parametrize("refused", ["Viewer", "UpsertBucket"])
def test_a_refusing_server_means_offline(server, tmp_path, caplog, refused):
    server.refuse.add(refused)
    loggers = open_run(tmp_path / "run")
    loggers[0].log_metrics({"a": 1.0}, 1)
    close_loggers(loggers)
    (line,) = told(caplog)
    assert re.match(r"W&B can't be reached \(.*permission denied.*\); logging offline", line)
    assert len(offline_runs(tmp_path / "run")) == 1


def test_no_key_means_offline_and_no_question(server, tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("WANDB_API_KEY")
    close_loggers(open_run(tmp_path / "run"))
    assert "no API key" in told(caplog)[0]
    assert len(offline_runs(tmp_path / "run")) == 1


@pytest.mark.slow
def test_no_server_means_offline_in_good_time(server, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    wandb.teardown()
    start = time.monotonic()
    close_loggers(open_run(tmp_path / "run"))
    assert time.monotonic() - start < 30
    assert len(told(caplog)) == 1
    assert len(offline_runs(tmp_path / "run")) == 1


@pytest.mark.slow
def test_a_server_that_dies_costs_a_warning(server, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("skinlab.tracking.wandb_run.FINISH_SECONDS", 2.0)
    loggers = open_run(tmp_path / "run")
    server.shutdown()
    server.server_close()
    loggers[0].log_metrics({"a": 1.0}, 1)
    close_loggers(loggers)
    (line,) = told(caplog)
    assert "wandb sync --include-online" in line
