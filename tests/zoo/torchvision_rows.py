"""The families of torchvision, in their smallest variants or with fewer and narrower layers."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from napts.problems.torchvision_shim import load_torchvision
from tests.zoo.row import FEW, Data, Row, classify, images

models: Any = load_torchvision().models
CLASSES = 10


def _small_head(make: Any, features: int, **options: Any) -> nn.Module:
    """Give a network of 1996 or 2014 a classifier that is not 100 million weights."""
    model = make(**options)
    layers = [
        nn.Linear(features, 64),
        nn.ReLU(inplace=True),
        nn.Dropout(0.1),
        nn.Linear(64, CLASSES),
    ]
    model.classifier = nn.Sequential(*layers)
    return model


def _alexnet() -> nn.Module:
    with torch.device("meta"):
        model = models.alexnet()
    model.classifier = nn.Identity()
    return _small_head(lambda: _reset(model), 256 * 6 * 6)


def _vgg() -> nn.Module:
    """Depth and order of vgg11 with a quarter of its channels."""
    channels = [16, "M", 32, "M", 64, 64, "M", 128, 128, "M", 128, 128, "M"]
    with torch.device("meta"):
        model = models.VGG(models.vgg.make_layers(channels, batch_norm=True), init_weights=False)
    model.classifier = nn.Identity()
    return _small_head(lambda: _reset(model), 128 * 7 * 7)


def _reset(model: nn.Module) -> nn.Module:
    """Move a model off the meta device, with weights as its layers draw them."""
    model.to_empty(device="cpu")
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return model


def _resnet(block: str, **options: Any) -> nn.Module:
    """One block in each of the first three stages."""
    make = getattr(models.resnet, block)
    model = models.ResNet(make, [1, 1, 1, 1], num_classes=CLASSES, **options)
    model.layer4 = nn.Identity()
    model.fc = nn.Linear(256 * make.expansion, CLASSES)
    return model


class _SmallAuxiliary(nn.Module):
    """Inception's auxiliary head is for images of 299 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(768, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.fc(inputs.mean((2, 3)))


def _inception() -> nn.Module:
    options = {"aux_logits": True, "init_weights": False, "transform_input": False}
    model = models.inception_v3(num_classes=CLASSES, **options)
    model.AuxLogits = _SmallAuxiliary()
    for repeated in ("Mixed_6c", "Mixed_6d", "Mixed_7b", "Mixed_7c"):
        setattr(model, repeated, nn.Identity())
    model.fc = nn.Linear(1280, CLASSES)
    return model


def _auxiliary(model: nn.Module, data: Data) -> Tensor:
    """Cross-entropy of all heads of a model that returns a named tuple."""
    outputs = model(data["inputs"])
    losses = [nn.functional.cross_entropy(head, data["targets"]) for head in outputs]
    return losses[0] + 0.3 * sum(losses[1:])


def _efficientnet() -> nn.Module:
    """The stages of efficientnet_b0 with half of their channels."""
    block = partial(models.efficientnet.MBConvConfig, width_mult=0.5, depth_mult=1.0)
    stages = [block(1, 3, 1, 32, 16, 1), block(6, 3, 2, 16, 24, 2), block(6, 5, 2, 24, 40, 2)]
    stages += [block(6, 3, 2, 40, 80, 2), block(6, 5, 1, 80, 112, 1), block(6, 5, 2, 112, 192, 2)]
    options = {"dropout": 0.1, "stochastic_depth_prob": 0.1, "last_channel": 320}
    return models.EfficientNet(stages, num_classes=CLASSES, **options)


def _convnext() -> nn.Module:
    block = models.convnext.CNBlockConfig
    setting = [block(16, 32, 1), block(32, 64, 1), block(64, 96, 2), block(96, None, 1)]
    return models.ConvNeXt(setting, stochastic_depth_prob=0.1, num_classes=CLASSES)


def _vit() -> nn.Module:
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 6, "num_heads": 2}
    return models.VisionTransformer(**sizes, hidden_dim=32, mlp_dim=64, num_classes=CLASSES)


def _swin(**options: Any) -> nn.Module:
    return models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=16,
        depths=[1, 1, 2, 1],
        num_heads=[1, 2, 4, 4],
        window_size=[4, 4],
        num_classes=CLASSES,
        stochastic_depth_prob=0.1,
        **options,
    )


def _maxvit() -> nn.Module:
    return models.MaxVit(
        input_size=(64, 64),
        stem_channels=16,
        partition_size=2,
        block_channels=[16, 32, 32, 64],
        block_layers=[1, 1, 2, 1],
        head_dim=16,
        stochastic_depth_prob=0.1,
        num_classes=CLASSES,
    )


def _backbone() -> nn.Module:
    layers = {"layer2": "aux", "layer3": "out"}
    return models._utils.IntermediateLayerGetter(models.resnet18(), return_layers=layers)


def _fcn() -> nn.Module:
    head = models.segmentation.fcn.FCNHead
    return models.segmentation.FCN(_backbone(), head(256, 5), head(128, 5))


def _deeplab() -> nn.Module:
    head = models.segmentation.deeplabv3.DeepLabHead(256, 5, (2, 4, 6))
    auxiliary = models.segmentation.fcn.FCNHead(128, 5)
    return models.segmentation.DeepLabV3(_backbone(), head, auxiliary)


def _lraspp() -> nn.Module:
    make = models.segmentation.lraspp_mobilenet_v3_large
    return make(weights=None, weights_backbone=None, num_classes=5)


def _masks() -> Data:
    """Noise, and one class in each quarter of an image."""
    quarters = torch.randint(5, (4, 2, 2))
    targets = quarters.repeat_interleave(32, 1).repeat_interleave(32, 2)
    return {"inputs": torch.randn(4, 3, 64, 64), "targets": targets}


def _segment(model: nn.Module, data: Data) -> Tensor:
    """Cross-entropy over all pixels of a model that returns a dict."""
    outputs = model(data["inputs"])
    loss = nn.functional.cross_entropy(outputs["out"], data["targets"])
    if "aux" in outputs:
        loss = loss + 0.5 * nn.functional.cross_entropy(outputs["aux"], data["targets"])
    return loss


_row = partial(Row, family="torchvision", loss=classify)
_small = partial(_row, data=images(32))
_large = partial(_row, data=images(64))
_BY_STAGE = ("backbone.layer2", "backbone.layer3", "classifier")
_masked = partial(
    _row, data=_masks, loss=_segment, methods=FEW, refusal="divides into at most 1 blocks"
)


def _named(name: str, **options: Any) -> Any:
    return lambda: getattr(models, name)(num_classes=CLASSES, **options)


ROWS = [
    _large("alexnet", build=_alexnet, methods=FEW),
    _small("vgg11_bn (narrow)", build=_vgg),
    _small("resnet18", build=_named("resnet18"), methods=FEW),
    _small("resnet50 (3 small stages)", build=lambda: _resnet("Bottleneck")),
    _small(
        "resnext50 (3 small stages)",
        build=lambda: _resnet("Bottleneck", groups=32, width_per_group=4),
    ),
    _small(
        "wide_resnet50 (3 small stages)",
        build=lambda: _resnet("Bottleneck", width_per_group=128),
        methods=FEW,
    ),
    _large("squeezenet1_1", build=_named("squeezenet1_1")),
    _small(
        "densenet (4 small blocks)",
        build=lambda: models.DenseNet(12, (2, 2, 2, 2), 24, num_classes=CLASSES),
    ),
    _large(
        "googlenet",
        build=_named("googlenet", init_weights=False, aux_logits=True),
        loss=_auxiliary,
        note="named tuple of three heads",
        methods=FEW,
    ),
    _row(
        "inception_v3 (one block of each kind)",
        build=_inception,
        data=images(80),
        loss=_auxiliary,
        note="named tuple of two heads",
        methods=FEW,
    ),
    _small("shufflenet_v2_x0_5", build=_named("shufflenet_v2_x0_5")),
    _small("mobilenet_v2", build=_named("mobilenet_v2", width_mult=0.5)),
    _small("mobilenet_v3_small", build=_named("mobilenet_v3_small")),
    _small("mnasnet0_5", build=_named("mnasnet0_5")),
    _small("efficientnet (small)", build=_efficientnet),
    _small("regnet_y_400mf", build=_named("regnet_y_400mf"), methods=FEW),
    _large("convnext (small)", build=_convnext),
    _small(
        "vit (6 layers)",
        build=_vit,
        cuts=("encoder_layer_1", "encoder_layer_3", "encoder_layer_5"),
        refusal="divides into at most 3 blocks",
    ),
    _large("swin (small)", build=_swin),
    _large("maxvit (small)", build=_maxvit),
    _masked("fcn_resnet18", build=_fcn, cuts=_BY_STAGE, note="dict of two heads"),
    _masked("deeplabv3_resnet18", build=_deeplab, cuts=_BY_STAGE, note="dict of two heads"),
    _masked(
        "lraspp_mobilenet_v3_large",
        build=_lraspp,
        cuts=("backbone.7", "backbone.13", "classifier"),
        note="dict",
    ),
]
