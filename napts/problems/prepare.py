"""Download and verification of data sets."""

from dataclasses import asdict, dataclass
from pathlib import Path

from napts.problems.data_root import DataInvalid, DataMissing, resolve_data_root
from napts.problems.digits import DATASET as DIGITS
from napts.problems.digits import read_digits
from napts.problems.registry import problem_class, problem_names
from napts.problems.tensors import RawData
from napts.problems.torchvision_data import IMAGE_DATASETS, ImageDataset


@dataclass(frozen=True, slots=True)
class PreparedData:
    """What was found or downloaded.

    Attributes:
        dataset: Name of the data set.
        location: Folder with its files, or None if a library ships it.
        downloaded: Whether this call downloaded it.
        train_samples: Number of training samples.
        test_samples: Number of test samples.
        megabytes: Size of the arrays in memory, in units of 10^6 bytes.
        digest: Short SHA-256 of the arrays.
        verified: Whether the expected digest is known and agrees.
    """

    dataset: str
    location: Path | None
    downloaded: bool
    train_samples: int
    test_samples: int
    megabytes: float
    digest: str
    verified: bool

    def as_dict(self) -> dict[str, str | int | float | bool | None]:
        """Return the fields as JSON can hold them."""
        location = None if self.location is None else str(self.location)
        return {**asdict(self), "location": location}


def prepare(name: str, root: Path | str | None = None) -> PreparedData:
    """Make sure that a data set is there, and verify it.

    Existing files are only read, so that a read-only folder can be verified.

    Args:
        name: Name of a data set (mnist, fashion-mnist, cifar10, digits) or of a workload.
        root: Data folder; None means the one in NAPTS_DATA, else the cache.

    Raises:
        ValueError: If the name is unknown.
        DataMissing: If the data are missing and cannot be downloaded.
        DataInvalid: If the files do not hold the published data.
    """
    dataset = _dataset_name(name)
    if dataset == DIGITS:
        return _report(dataset, None, read_digits(), downloaded=False, known_digest=None)
    source = IMAGE_DATASETS[dataset]
    folder = resolve_data_root(root)
    try:
        raw, downloaded = source.read(folder), False
    except DataMissing:
        raw, downloaded = _download(source, folder), True
    found = (len(raw.train), len(raw.test))
    if found != source.sizes:
        raise DataInvalid(
            f"data set {dataset!r} in {folder}: found {found[0]} training and {found[1]} test "
            f"images, expected {source.sizes[0]} and {source.sizes[1]}"
        )
    location = folder / source.folder
    return _report(dataset, location, raw, downloaded=downloaded, known_digest=source.digest)


def _dataset_name(name: str) -> str:
    datasets = (*IMAGE_DATASETS, DIGITS)
    if name in datasets:
        return name
    with_files = {n: problem_class(n).dataset for n in problem_names()}
    allowed = [*datasets, *(n for n, dataset in with_files.items() if dataset in datasets)]
    if name not in allowed:
        raise ValueError(f"data set: found {name!r}, allowed: {', '.join(allowed)}")
    return str(with_files[name])


def _download(source: ImageDataset, folder: Path) -> RawData:
    try:
        source.download(folder)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DataMissing(
            source.name, folder, reason=f"could not be downloaded ({reason}) and is not"
        ) from error
    return source.read(folder)


def _report(
    dataset: str, location: Path | None, raw: RawData, *, downloaded: bool, known_digest: str | None
) -> PreparedData:
    digest = raw.digest()
    if known_digest is not None and digest != known_digest:
        raise DataInvalid(
            f"data set {dataset!r} in {location}: digest {digest}, expected {known_digest}: "
            f"the files are damaged or hold other data; remove that folder and prepare it again"
        )
    arrays = (raw.train.inputs, raw.train.targets, raw.test.inputs, raw.test.targets)
    return PreparedData(
        dataset=dataset,
        location=location,
        downloaded=downloaded,
        train_samples=len(raw.train),
        test_samples=len(raw.test),
        megabytes=sum(array.numel() * array.element_size() for array in arrays) / 1e6,
        digest=digest,
        verified=known_digest is not None,
    )
