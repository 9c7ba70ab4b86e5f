"""What pyproject.toml cannot say: studies are package data, the README is read elsewhere too."""

import re
import tomllib
from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

HERE = Path(__file__).parent
STUDIES = {
    "napts." + name.replace("/", "."): name.replace(".", "/")
    for name in ("studies", *(f"studies.{part}" for part in find_namespace_packages("studies")))
}


def readme(text: str, repository: str | None, version: str) -> str:
    """Return the README with links and images that do not depend on where it is shown.

    Args:
        text: The README, whose links are relative to the repository.
        repository: Address of the repository, "Repository" among the project's URLs; without one
            (none is public yet) the links stay as they are.
        version: Version whose tag they lead to.
    """
    if repository is None:
        return text
    base = repository.rstrip("/")

    def absolute(found: re.Match[str]) -> str:
        kind = "raw" if found["image"] else "blob"
        return f"{found['image']}[{found['text']}]({base}/{kind}/v{version}/{found['path']})"

    link = r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>(?!https?:|#|mailto:)[^)\s]+)\)"
    return re.sub(link, absolute, text)


if __name__ == "__main__":
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = re.search(
        r'__version__ = "(.+)"', (HERE / "napts" / "_version.py").read_text("utf-8")
    )
    setup(
        packages=[*find_packages(include=["napts*"]), *STUDIES],
        package_dir={"napts": "napts", **STUDIES},
        package_data={"napts": ["py.typed"], **{name: ["*.toml"] for name in STUDIES}},
        long_description=readme(
            (HERE / "README.md").read_text(encoding="utf-8"),
            project.get("urls", {}).get("Repository"),
            version[1] if version else "",
        ),
        long_description_content_type="text/markdown",
    )
