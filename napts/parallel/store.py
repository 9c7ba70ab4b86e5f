"""The store in which ranks find one another; it trusts anyone who reaches it, so few should."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

LOOPBACK = "127.0.0.1"

_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Variables that name the network interface of ranks, on the CPU and on CUDA."""


def serve(listener: socket.socket, timeout: timedelta) -> dist.TCPStore:
    """Return a store that answers on a given socket; by default it would listen on all addresses.

    Args:
        listener: A socket that listens on loopback; from now on the store owns it.
        timeout: How long a client waits for an answer.
    """
    host, port = listener.getsockname()
    return dist.TCPStore(
        host,
        port,
        is_master=True,
        timeout=timeout,
        wait_for_workers=False,
        master_listen_fd=listener.detach(),
    )


def meet(timeout: timedelta) -> tuple[dist.Store, int, int]:
    """Return the store of the ranks started with this process, this rank, and the number of ranks.

    Args:
        timeout: How long to wait for the others.
    """
    variables = os.environ
    leads_here = variables["RANK"] == "0" and variables["MASTER_ADDR"] == LOOPBACK
    if leads_here and all_here() and variables.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        listener = socket.create_server((LOOPBACK, int(variables["MASTER_PORT"])))
        return serve(listener, timeout), 0, int(variables["WORLD_SIZE"])
    return next(iter(dist.rendezvous("env://", timeout=timeout)))


def all_here() -> bool:
    """Tell whether all ranks are on this machine, so that nothing must listen beyond it."""
    return os.environ.get("LOCAL_WORLD_SIZE", "1") == os.environ.get("WORLD_SIZE", "1")


@contextmanager
def on_loopback() -> Iterator[None]:
    """Within the block, ranks connect over loopback, unless the user has named another interface.

    By default they would listen where the machine's name leads, even for a single process.
    """
    name = _loopback()
    added = [] if name is None else [each for each in _INTERFACES if each not in os.environ]
    os.environ.update({each: name or "" for each in added})
    try:
        yield
    finally:
        for each in added:
            os.environ.pop(each, None)


def _loopback() -> str | None:
    """Return the name of the loopback interface, if it works."""
    names = {name for _, name in socket.if_nameindex()}
    try:
        with socket.create_server((LOOPBACK, 0)) as listener:
            socket.create_connection(listener.getsockname(), timeout=5).close()
    except OSError:
        return None  # switched off
    return next((name for name in ("lo", "lo0") if name in names), None)
