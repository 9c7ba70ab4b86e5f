"""Models of timm: its own tiny test variants, and families with fewer layers."""

from functools import partial
from typing import Any

from torch import Tensor, nn

from tests.zoo.packages import load
from tests.zoo.row import FEW, Data, Row, classify, images

timm = load("timm")


def _named(name: str, **options: Any) -> Any:
    return lambda: timm.create_model(name, pretrained=False, num_classes=10, **options)


def _of(path: str, **options: Any) -> Any:
    """Build a class of timm, where its named models fix the sizes."""
    module, name = path.split(".")
    return lambda: getattr(getattr(timm.models, module), name)(num_classes=10, **options)


def _distilled() -> nn.Module:
    model = _named("deit_tiny_distilled_patch16_224", **_VIT)()
    model.set_distilled_training(True)
    return model


def _two_heads(model: nn.Module, data: Data) -> Tensor:
    """Cross-entropy of a class token and a distillation token."""
    cross_entropy = nn.functional.cross_entropy
    first, second = model(data["inputs"])
    return cross_entropy(first, data["targets"]) + cross_entropy(second, data["targets"])


_row = partial(Row, family="timm", loss=classify, data=images(32))
_large = partial(_row, data=images(64))
_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 6, "num_heads": 2}
_MIXER = {"img_size": 32, "patch_size": 8, "num_blocks": 4, "embed_dim": 32}
# With a scale of exactly zero before a ReLU the loss has no gradient to compare with.
_NOT_ZERO = {"zero_init_last": False}
_BLOCKS = ("blocks.1", "blocks.3", "blocks.5")

ROWS = [
    _row("vit_tiny (6 blocks)", build=_named("vit_tiny_patch16_224", **_VIT)),
    _row(
        "deit_tiny distilled (6 blocks)",
        build=_distilled,
        loss=_two_heads,
        note="class and distillation tokens; all of the encoder is one block",
    ),
    _row(
        "test_vit2",
        build=_named("test_vit2", img_size=32, patch_size=8),
        cuts=_BLOCKS,
        refusal="torch.fx cannot trace its forward",
    ),
    _row("test_vit3", build=_named("test_vit3", img_size=32, patch_size=8)),
    _row("test_vit_relpos", build=_named("test_vit_relpos", img_size=32, patch_size=8)),
    _row("test_resnet", build=_named("test_resnet", **_NOT_ZERO)),
    _row("resnet10t", build=_named("resnet10t", **_NOT_ZERO), methods=FEW),
    _row("test_convnext", build=_named("test_convnext")),
    _row("test_convnext2", build=_named("test_convnext2")),
    _row("test_efficientnet", build=_named("test_efficientnet")),
    _row("test_efficientnet_gn", build=_named("test_efficientnet_gn")),
    _row("test_efficientnet_ln", build=_named("test_efficientnet_ln")),
    _row("test_byobnet", build=_named("test_byobnet")),
    _row("test_nfnet", build=_named("test_nfnet")),
    _row("test_mambaout", build=_named("test_mambaout")),
    _large("test_maxvit", build=_named("test_maxvit", img_size=64)),
    _large("test_coatnet", build=_named("test_coatnet", img_size=64)),
    _row(
        "mixer (4 blocks)",
        build=_of("mlp_mixer.MlpMixer", **_MIXER),
        cuts=("blocks.1", "blocks.2", "blocks.3"),
        refusal="divides into at most 3 blocks",
    ),
    _row(
        "gmlp (4 blocks)",
        build=_of(
            "mlp_mixer.MlpMixer",
            mlp_ratio=6,
            block_layer=timm.models.mlp_mixer.SpatialGatingBlock,
            mlp_layer=timm.layers.GatedMlp,
            **_MIXER,
        ),
        cuts=("blocks.1", "blocks.2", "blocks.3"),
        refusal="divides into at most 3 blocks",
    ),
    _row("convmixer (4 layers)", build=_of("convmixer.ConvMixer", dim=32, depth=4, patch_size=4)),
    _large("efficientvit_b0", build=_named("efficientvit_b0"), methods=FEW),
    _large("efficientvit_m0", build=_named("efficientvit_m0", img_size=64), methods=FEW),
    _large("mobilevit_xxs", build=_named("mobilevit_xxs")),
    _large(
        "poolformer (small)",
        build=_of("metaformer.MetaFormer", depths=(1, 1, 2, 1), dims=(16, 32, 32, 64)),
    ),
    _large(
        "swin_tiny (small)",
        build=_named(
            "swin_tiny_patch4_window7_224",
            img_size=64,
            window_size=4,
            embed_dim=16,
            depths=(1, 1, 2, 1),
            num_heads=(1, 2, 4, 4),
        ),
    ),
    _large("levit_128s", build=_named("levit_128s", img_size=64), methods=FEW),
    _large(
        "cait_xxs (6 blocks)",
        build=_named("cait_xxs24_224", img_size=64, embed_dim=32, depth=6, num_heads=2),
    ),
    _row(
        "xcit_nano (6 blocks)",
        build=_named("xcit_nano_12_p8_224", img_size=32, embed_dim=32, depth=6, num_heads=2),
        cuts=_BLOCKS,
        refusal="divides into at most 2 blocks",
        warns="cls_token",
    ),
]
