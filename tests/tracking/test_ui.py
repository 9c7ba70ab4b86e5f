"""Starting MLflow's user interface: the errors come before the server does."""

import socket

import pytest

from napts.tracking import serve_ui, ui_command


def test_nothing_to_serve(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing was synced yet; run: napts sync"):
        ui_command(tmp_path)


def test_a_server_is_not_served_again(tmp_path):
    with pytest.raises(ValueError, match=r"http://host:80 is a server already"):
        ui_command(tmp_path, "http://user:secret@host:80")


def test_ports_out_of_range(records):
    with pytest.raises(ValueError, match="between 1 and 65535, got 70000"):
        ui_command(records, port=70000)


def test_a_port_in_use(records):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"port \d+ is in use; choose another"):
            serve_ui(records, port=taken.getsockname()[1])
