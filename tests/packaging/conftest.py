"""The package as it is installed, built once."""

import pytest

from tests.helpers.installed import build_wheel, install


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def programs(wheel, tmp_path_factory):
    return install(wheel, tmp_path_factory.mktemp("environment") / "venv")
