"""What pyproject.toml cannot say: the studies of the repository are data of the package."""

from setuptools import find_namespace_packages, find_packages, setup

STUDIES = {
    "napts." + name.replace("/", "."): name.replace(".", "/")
    for name in ("studies", *(f"studies.{part}" for part in find_namespace_packages("studies")))
}

setup(
    packages=[*find_packages(include=["napts*"]), *STUDIES],
    package_dir={"napts": "napts", **STUDIES},
    package_data={"napts": ["py.typed"], **{name: ["*.toml"] for name in STUDIES}},
)
