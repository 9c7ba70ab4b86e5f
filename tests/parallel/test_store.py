"""Where ranks find one another: in a store that nobody reaches from another machine."""

import os
import socket
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist

from napts.experiment import RunSpec
from napts.experiment.followers import joined
from napts.parallel.ranks import join_ranks
from napts.parallel.store import LOOPBACK, meet, on_loopback

TIMEOUT = timedelta(seconds=60)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Stand for the first of the ranks that Slurm has started on one node; its port."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    variables = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": LOOPBACK}
    for name, value in {**variables, "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    return port


def test_the_first_rank_serves_the_others_on_loopback(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rank, size = meet(TIMEOUT)
    assert (rank, size) == (0, 2)
    connections = psutil.Process(os.getpid()).net_connections(kind="inet")
    listening = {
        each.laddr.ip
        for each in connections
        if each.laddr.port == port and each.status == psutil.CONN_LISTEN
    }
    assert listening == {LOOPBACK}
    monkeypatch.setenv("RANK", "1")
    other, rank, size = meet(TIMEOUT)
    assert (rank, size) == (1, 2)
    store.set("said", "here")
    assert other.get("said") == b"here"


def test_a_port_that_is_taken_is_told(port: int) -> None:
    with socket.create_server((LOOPBACK, port)), pytest.raises(OSError, match="in use"):
        meet(TIMEOUT)


@pytest.mark.parametrize("alone", [False, True])
def test_a_process_on_its_own_listens_on_loopback(
    monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """And what it starts afterwards, elsewhere, does as it likes."""
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    if alone:
        monkeypatch.setenv("WORLD_SIZE", "8")
    with join_ranks(alone=alone):
        assert os.environ["GLOO_SOCKET_IFNAME"] in ("lo", "lo0")
        assert os.environ["NCCL_SOCKET_IFNAME"] in ("lo", "lo0")
        connections = psutil.Process(os.getpid()).net_connections(kind="inet")
        listening = [each for each in connections if each.status == psutil.CONN_LISTEN]
        assert {each.laddr.ip for each in listening} == {LOOPBACK}
    assert "GLOO_SOCKET_IFNAME" not in os.environ
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine")
    with on_loopback():
        assert os.environ["GLOO_SOCKET_IFNAME"] == "mine"
    assert os.environ["GLOO_SOCKET_IFNAME"] == "mine"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_ranks_that_share_subdomains_are_connected_by_what_fits_the_device(
    port: int, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """Gloo on a CPU; NCCL on CUDA, each rank on the device of its index: chosen, not run here."""
    asked: dict[str, Any] = {}

    class Asked(Exception):
        pass

    def ask(backend: str, **options: Any) -> None:
        asked.update(options, backend=backend)
        raise Asked

    monkeypatch.setattr(dist, "init_process_group", ask)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: asked.update(current=index))
    for name, value in {"LOCAL_RANK": "1", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    spec = RunSpec.model_validate(
        {
            "experiment": "tests",
            "workload": {"name": "burgers"},
            "optimizer": {"method": "ASPQN"},
            "budget": {"epochs": 1},
            "execution": {"device": device, "ranks": 2},
        }
    )
    with suppress(Asked), joined([spec]):
        raise AssertionError("no group was asked for")
    expected = torch.device("cuda", 1)
    if device == "cpu":
        assert (asked["backend"], asked["device_id"], asked.get("current")) == ("gloo", None, None)
    else:
        assert asked["backend"] == "nccl"
        assert asked["device_id"] == asked["current"] == expected
