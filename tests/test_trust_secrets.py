"""Secrets stay secret, and files stay in their folders."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zlib

import pytest
from support import free_port

from sedna_metrics.exposition.spool import Spool

CANARY = "c4n4ry-of-a-secret"
GROUP = "/metrics/job/sedna-worker/instance/n/namespace/default/task/t/worker_type/train"
SCRIPT = """
import logging, sys, urllib.request, sedna_metrics
secret = "c4n4ry-of-a-secret"
with sedna_metrics.start() as worker:
    il = worker.incremental_learning
    url = f"https://user:{secret}@store/model?X-Amz-Signature={secret}#{secret}"
    with il.training(samples=1) as training:
        training.output_model(url)
    with il.evaluation() as evaluation:
        evaluation.new_model(url, f1=0.5)
        evaluation.old_model(url, f1=0.4)
    with il.deployment(url):
        pass
    logging.info("connecting to %s", url)
    logging.info("header Authorization: Bearer %s", secret, extra={"password": secret, "token": secret})
    try:
        raise ValueError(f"cannot reach https://user:{secret}@store/")
    except ValueError:
        logging.exception("failed")
    sys.stderr.write(urllib.request.urlopen(worker.url).read().decode())
    worker.flush()
"""


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "password").write_text(CANARY)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEDNA_METRICS_")},
        "JOB_NAME": "helmet",
        "WORKER_NAME": "train-worker-x2x5q",
        "SEDNA_METRICS_EXPORT": "both",
        "SEDNA_METRICS_HOST": "127.0.0.1",
        "SEDNA_METRICS_PORT": "0",
        "SEDNA_METRICS_SPOOL_DIR": str(tmp_path / "spool"),
        "SEDNA_METRICS_SD_DIR": str(tmp_path / "targets"),
        "SEDNA_METRICS_PUSH_DEADLINE": "1",
        "SEDNA_METRICS_PUSHGATEWAY_URL": f"http://user:{CANARY}@127.0.0.1:{free_port()}",
        "SEDNA_METRICS_PUSHGATEWAY_BEARER_TOKEN": CANARY,
    }


def test_no_secret_is_in_metrics_log_spool_or_discovery(environ, tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sedna_training_output_model_info" in done.stderr, "the page was read"
    assert "https://store/model" in done.stdout, "the address was told, without its secrets"
    spooled = [zlib.decompress(path.read_bytes().partition(b"\n")[2]) for path in (tmp_path / "spool").glob("*.spool")]
    assert spooled, "the gateway is away"
    kept = [path.read_bytes() for folder in ("spool", "targets") for path in (tmp_path / folder).iterdir()]
    for text in (done.stdout.encode(), done.stderr.encode(), *spooled, *kept):
        assert CANARY.encode() not in text


def test_what_is_on_disk_can_be_read_by_who_has_to(environ, tmp_path):
    script = SCRIPT.replace("    worker.flush()\n", "    import os, shutil; shutil.copytree('targets', 'seen')\n")
    subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True, cwd=tmp_path)

    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(tmp_path / "spool") == 0o700
    assert {mode(path) for path in (tmp_path / "spool").glob("*.spool")} == {0o600}
    assert {mode(path) for path in (tmp_path / "seen").glob("*.json")} == {0o644}


@pytest.mark.parametrize("name", ["../../escaped", "/etc/escaped", "..", "a/../../escaped", "%2e%2e%2f"])
def test_no_name_leads_out_of_its_folder(environ, tmp_path, name):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    own = {"SEDNA_METRICS_SPOOL_DIR": str(inside / "spool"), "SEDNA_METRICS_SD_DIR": str(inside / "targets")}
    names = {"JOB_NAME": name, "WORKER_NAME": name, "NAMESPACE": name, "NODE_NAME": name, "DATASET_NAME": name}
    before = set(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**environ, **own, **names}, capture_output=True, text=True, cwd=inside
    )
    assert done.returncode == 0, done.stderr
    made = set(tmp_path.rglob("*")) - before
    assert made
    assert all(path.parent in (inside, inside / "spool", inside / "targets") for path in made), made


def test_a_link_in_the_spool_is_not_followed(tmp_path):
    spool = Spool(tmp_path / "spool", 2**20, 600)
    spool.put("http://gateway", GROUP, b"x 1\n")
    (good,) = spool.folder.glob("*.spool")
    secret = tmp_path / "secret"
    secret.write_bytes(good.read_bytes())
    (spool.folder / f"{'a' * 24}.spool").symlink_to(secret)
    assert len(spool.entries()) == 1
    good.unlink()
    good.symlink_to(secret)
    spool.put("http://gateway", GROUP, b"x 2\n")
    assert zlib.decompress(secret.read_bytes().partition(b"\n")[2]) == b"x 1\n", "what the link leads to is as it was"
    assert not good.is_symlink()
