"""The network that turns tiles into features by default."""

import os

import numpy as np
from torch import nn

from ..utils._sklearn import validate_params
from ..utils._torch_state import fork_rng

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
"""Mean and standard deviation of the channels of ImageNet, by which its networks expect images to be standardised."""


@validate_params({"weights": [str, os.PathLike, None]}, prefer_skip_nested_validation=True)
def imagenet_resnet50(weights: str | os.PathLike | None = None) -> nn.Module:
    """Make a ResNet-50 that was trained on ImageNet and is cut after its third stage.

    The features of CLAM [1]_ and of the works that build on it: 1,024 per tile, the means of the last map. timm builds
    the network, ``resnet50.tv_in1k``, and on first use downloads its weights.

    Parameters
    ----------
    weights : str or path-like, default=None
        File with the weights, for machines without access to the internet: the file of the model ``resnet50.tv_in1k``
        of timm, ``model.safetensors`` or ``pytorch_model.bin``. None downloads it, or finds it where timm has kept it.

    Returns
    -------
    encoder : torch.nn.Module
        Turns tiles, standardised and of shape (n_tiles, 3, height, width), into features of shape (n_tiles, 1024).

    Raises
    ------
    ImportError
        If timm is not installed.
    OSError
        If the weights are not there.

    References
    ----------
    .. [1] Lu, M. Y. et al. "Data-efficient and weakly supervised computational pathology on whole-slide images", Nature
           Biomedical Engineering 5, 2021.

    Examples
    --------
    >>> from sksurv_mmf.slides import imagenet_resnet50
    >>> encoder = imagenet_resnet50()  # doctest: +SKIP
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            "The default encoder needs timm, which is not installed. Install it with: pip install timm, or pass "
            "encoder=, any torch module that turns tiles into features."
        ) from error
    if weights is not None and not os.path.isfile(weights):
        raise FileNotFoundError(f"There are no weights {os.fspath(weights)!r}.")
    options = {"pretrained": True, "features_only": True, "out_indices": (3,)}
    if weights is not None:
        options["pretrained_cfg_overlay"] = {"file": os.fspath(weights)}
    try:
        with fork_rng():  # for the values that the weights replace
            network = timm.create_model("resnet50.tv_in1k", **options)
    except OSError as error:
        raise OSError(
            f"Timm could not get the weights of resnet50.tv_in1k: {error} Without access to the internet, copy the "
            "file here and pass encoder=imagenet_resnet50(weights=...)."
        ) from error
    return ImageNetResNet50(network)


class ImageNetResNet50(nn.Module):
    """The mean of the only map that `network` returns."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, tiles):
        (feature_map,) = self.network(tiles)
        return feature_map.mean(dim=(2, 3))
