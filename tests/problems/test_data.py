import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napts.problems import (
    DataInvalid,
    DataMissing,
    get_problem,
    prepare,
    resolve_data_root,
)
from napts.problems.images import halve
from napts.problems.torchvision_data import IMAGE_DATASETS, ImageDataset

SMALL = {"validation_size": 15}


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    paths = [root, *root.rglob("*")]
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in paths}


@pytest.fixture
def small_fashion(monkeypatch):
    """Take the tiny data set for the published one."""
    known = replace(IMAGE_DATASETS["fashion-mnist"], sizes=(60, 20))
    monkeypatch.setitem(IMAGE_DATASETS, "fashion-mnist", known)
    return known


def test_data_root_argument_beats_environment_beats_cache(monkeypatch):
    monkeypatch.setenv("NAPTS_DATA", "/from/environment")
    assert resolve_data_root("/given") == Path("/given")
    assert resolve_data_root() == Path("/from/environment")
    monkeypatch.delenv("NAPTS_DATA")
    assert resolve_data_root() == Path.home() / ".cache" / "napts"


def test_missing_data_say_both_ways_out_in_one_line(tmp_path):
    with pytest.raises(DataMissing) as caught:
        get_problem("mnist-fcnn").load(tmp_path)
    text = str(caught.value)
    ways = ("napts data prepare mnist", "NAPTS_DATA", "--data-root")
    for part in ("'mnist'", str(tmp_path)[-15:], *ways):
        assert part in text
    assert "\n" not in text
    assert isinstance(caught.value, ValueError)


def test_reading_through_torchvision(fashion_root):
    splits = get_problem("fashion-mnist-fcnn", SMALL).load(fashion_root)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [45, 15, 20]
    assert splits.train.inputs.dtype == torch.uint8
    assert splits.test.inputs.shape == (20, 1, 28, 28)
    assert splits.test.targets.tolist() == [i % 10 for i in range(20)]


def test_environment_names_the_folder(fashion_root, monkeypatch):
    monkeypatch.setenv("NAPTS_DATA", str(fashion_root))
    assert len(get_problem("fashion-mnist-fcnn", SMALL).load().test) == 20


def test_test_data_are_the_raw_data_normalised_and_nothing_else(fashion_root):
    raw = (fashion_root / "FashionMNIST/raw/t10k-images-idx3-ubyte").read_bytes()[16:]
    stored = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(20, 1, 28, 28)
    inputs, _ = get_problem("fashion-mnist-fcnn", SMALL).load(fashion_root).test.tensors()
    torch.testing.assert_close(inputs, (stored / 255 - 0.2860) / 0.3530)


def test_no_augmentation_repeated_reads_are_equal(fashion_root):
    splits = get_problem("fashion-mnist-fcnn", SMALL).load(fashion_root)
    for part in (splits.train, splits.test):
        assert torch.equal(part.tensors()[0], part.tensors()[0])


def test_split_does_not_depend_on_random_state_and_digest_follows_the_data(fashion_root):
    workload = get_problem("fashion-mnist-fcnn", SMALL)
    torch.manual_seed(0)
    first = workload.load(fashion_root)
    torch.manual_seed(1)
    second = workload.load(fashion_root)
    assert torch.equal(first.validation.inputs, second.validation.inputs)
    assert first.digest == second.digest
    labels = fashion_root / "FashionMNIST/raw/t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x03")
    assert workload.load(fashion_root).digest != first.digest


@pytest.mark.parametrize("cut", [3, 100])
def test_damaged_files_are_named(fashion_root, cut):
    images = fashion_root / "FashionMNIST/raw/train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-cut])
    with pytest.raises(DataInvalid, match=r"'fashion-mnist' in .*FashionMNIST cannot be read"):
        get_problem("fashion-mnist-fcnn", SMALL).load(fashion_root)


def test_labels_out_of_range_are_refused(fashion_root):
    labels = fashion_root / "FashionMNIST/raw/t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(DataInvalid, match=r"labels must lie in 0\.\.9"):
        get_problem("fashion-mnist-fcnn", SMALL).load(fashion_root)


def test_prepare_verifies_without_writing(fashion_root, small_fashion, monkeypatch):
    for path in (fashion_root, *fashion_root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr(ImageDataset, "download", _must_not_download)
    before = snapshot(fashion_root)
    report = prepare("fashion-mnist-fcnn", fashion_root)
    after = snapshot(fashion_root)
    for path in (fashion_root, *fashion_root.rglob("*")):
        path.chmod(0o755)
    assert after == before
    assert (report.train_samples, report.test_samples) == (60, 20)
    assert not report.downloaded
    assert report.location == fashion_root / "FashionMNIST"
    assert report.as_dict()["location"] == str(fashion_root / "FashionMNIST")
    assert report.megabytes == pytest.approx(80 * (28 * 28 + 8) / 1e6)


def _must_not_download(*_):
    raise AssertionError("data that are there must not be downloaded")


def test_prepare_downloads_what_is_missing(
    fashion_root, small_fashion, tmp_path_factory, monkeypatch
):
    target = tmp_path_factory.mktemp("fresh")
    monkeypatch.setattr(
        ImageDataset,
        "download",
        lambda _, root: os.rename(fashion_root / "FashionMNIST", root / "FashionMNIST"),
    )
    assert prepare("fashion-mnist", target).downloaded
    assert not prepare("fashion-mnist", target).downloaded


def test_prepare_refuses_a_set_of_another_size(fashion_root):
    with pytest.raises(DataInvalid, match="found 60 training and 20 test images, expected 60000"):
        prepare("fashion-mnist", fashion_root)


def test_prepare_refuses_other_data_than_the_published(fashion_root, small_fashion, monkeypatch):
    known = replace(small_fashion, digest="0123456789abcdef")
    monkeypatch.setitem(IMAGE_DATASETS, "fashion-mnist", known)
    with pytest.raises(DataInvalid, match="expected 0123456789abcdef"):
        prepare("fashion-mnist", fashion_root)


@pytest.mark.parametrize("error", [RuntimeError("no\nroute"), PermissionError("no\nroute")])
def test_prepare_without_network_or_permission_says_both_ways_out(tmp_path, monkeypatch, error):
    def fail(*_, download=False, **__):
        raise error if download else RuntimeError("Dataset not found")

    monkeypatch.setattr(ImageDataset, "_open", fail)
    with pytest.raises(DataMissing, match=r"could not be downloaded \(no route\)") as caught:
        prepare("mnist", tmp_path)
    assert "NAPTS_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_prepare_digits_needs_no_folder():
    report = prepare("digits-cnn")
    assert report.location is None
    assert (report.train_samples, report.test_samples) == (1500, 297)


@pytest.mark.parametrize("name", ["nothing", "synthetic-blobs"])
def test_prepare_lists_what_it_knows(name):
    with pytest.raises(ValueError, match="allowed: mnist, fashion-mnist, cifar10, digits"):
        prepare(name)


def test_halve_averages_two_by_two():
    image = torch.tensor([[0, 1, 10, 10], [2, 4, 10, 11]], dtype=torch.uint8).view(1, 1, 2, 4)
    assert halve(image).flatten().tolist() == [2, 10]
    assert halve(image).dtype == torch.uint8


def skip_without(root: Path, folder: str) -> None:
    if not (root / folder).is_dir():
        pytest.skip(f"needs {folder} in NAPTS_DATA")


def test_real_mnist(real_root):
    skip_without(real_root, "MNIST")
    assert prepare("mnist", real_root).verified
    splits = get_problem("mnist-fcnn").load(real_root)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [55000, 5000, 10000]
    inputs, _ = splits.train.tensors()
    assert inputs.mean().item() == pytest.approx(0, abs=0.01)
    assert inputs.std().item() == pytest.approx(1, abs=0.01)


def test_real_cifar10(real_root):
    skip_without(real_root, "cifar-10-batches-py")
    before = snapshot(real_root / "cifar-10-batches-py")
    assert prepare("cifar10-cnn", real_root).verified
    assert snapshot(real_root / "cifar-10-batches-py") == before
    mini = get_problem("cifar10-mini", {"train_samples": 500, "validation_size": 100})
    splits = mini.load(real_root)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [500, 100, 10000]
    assert splits.train.inputs.shape == (500, 3, 16, 16)
    whole = get_problem("cifar10-cnn").load(real_root)
    assert [len(s) for s in (whole.train, whole.validation, whole.test)] == [45000, 5000, 10000]
    assert torch.equal(halve(whole.test.inputs), splits.test.inputs)
    assert torch.bincount(whole.test.targets).tolist() == [1000] * 10
