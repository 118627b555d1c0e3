"""Matrix products of tiles and weights, by the library and in the precision that are asked for.

Torch multiplies float32 matrices with MKL, which on AMD's processors does without AVX-512: on those that have units of
512 bits oneDNN, which torch brings along, takes half the time with the same accuracy.
"""

import os
import platform
import re
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

LIBRARIES = ("mkl", "onednn")
CPU_INFO = Path("/proc/cpuinfo")  # of Linux
ZEN_5 = 26
WORTH_IT = 2_000_000
"""Multiplications from which on oneDNN is quicker: it looks up a kernel for each product."""

PART = 256
"""Tiles that go through it at a time: it compiles a kernel for each number, so that all parts have the same."""


class Products:
    """Products in float32 by torch's own choice, MKL where torch has it."""

    def linear(self, x: Tensor, W: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """Write ``x @ W.T + b`` to `out`, of which each row is a tile."""
        return torch.addmm(b, x, W.T, out=out)

    def add(self, out: Tensor, x: Tensor, W: Tensor) -> Tensor:
        """Add ``x @ W`` to `out`, of which each row is a tile."""
        return out.addmm_(x, W)

    def over_tiles(self, a: Tensor, x: Tensor) -> Tensor:
        """``a.T @ x``, a sum over tiles."""
        return a.T @ x


class OneDNNProducts(Products):
    """Products in float32 by oneDNN, as far as tiles fill a part of their own, and of the last few as usual."""

    def linear(self, x, W, b, out):
        if PART * W.numel() < WORTH_IT:
            return super().linear(x, W, b, out)
        for tiles, part in zip(x.split(PART), out.split(PART)):
            if len(tiles) == PART:
                part.copy_(by_onednn(tiles, W, b))
            else:
                super().linear(tiles, W, b, part)
        return out

    def add(self, out, x, W):
        if PART * W.numel() < WORTH_IT:
            return super().add(out, x, W)
        for tiles, part in zip(x.split(PART), out.split(PART)):
            if len(tiles) == PART:
                part.add_(by_onednn(tiles, W.T))
            else:
                super().add(part, tiles, W)
        return out

    def over_tiles(self, a, x):
        if PART * a.shape[1] * x.shape[1] < WORTH_IT:
            return super().over_tiles(a, x)
        parts = zip(a.split(PART), x.split(PART))
        return sum(
            by_onednn(one.T, tiles.T) if len(tiles) == PART else super(OneDNNProducts, self).over_tiles(one, tiles)
            for one, tiles in parts
        )


class BFloat16Products(Products):
    """Products of numbers with 8 significant bits, whose sums are float32.

    Tiles, weights and gradients are float32 before and after. Where the processor has no such products, those of
    float32 are taken of the rounded numbers.
    """

    def linear(self, x, W, b, out):
        return out.copy_(rounded(x) @ rounded(W).T).add_(b)

    def add(self, out, x, W):
        return out.add_(rounded(x) @ rounded(W))

    def over_tiles(self, a, x):
        return (rounded(a).T @ rounded(x)).float()


def rounded(values: Tensor) -> Tensor:
    """The numbers as bfloat16 where the processor multiplies these, or else as float32 of the same values."""
    return values.bfloat16() if multiplies_bfloat16() else values.bfloat16().float()


@cache
def multiplies_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 here; torch itself does it slowly."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def by_onednn(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    """``x @ W.T + b``."""
    # For columns of a wider matrix it has only its slowest code.
    return torch.ops.mkldnn._linear_pointwise(x, W if W.T.is_contiguous() else W.contiguous(), b, "none", [], "")


def rounds_products(device: torch.device, precision: str):
    """A block in which a GPU multiplies in `precision`; a CPU has products of its own."""
    if device.type != "cuda" or precision == "float32":
        return nullcontext()
    # Under vmap, rounded weights must not be kept for later; within the block each is used once.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def products(dtype: torch.dtype, precision: str = "float32") -> Products:
    """How to multiply tiles and weights."""
    if dtype == torch.float32 and precision == "bfloat16":
        return BFloat16Products()
    return OneDNNProducts() if dtype == torch.float32 and library() == "onednn" else Products()


def library() -> str:
    """The library for float32: what the environment asks for, or the quicker one on this processor.

    It is chosen by what the processor is and not by a timing, since it changes the last bits.
    """
    asked = os.environ.get("SKSURV_MMF_PRODUCTS", "")
    if asked not in ("", *LIBRARIES):
        raise ValueError(
            f"The environment variable SKSURV_MMF_PRODUCTS must be {' or '.join(LIBRARIES)}, got {asked!r}."
        )
    if asked == "onednn" and not torch.backends.mkldnn.is_available():
        raise ValueError("SKSURV_MMF_PRODUCTS=onednn, but this build of torch has no oneDNN. Use mkl.")
    return asked or ("onednn" if is_onednn_quicker() else "mkl")


def is_onednn_quicker() -> bool:
    """Whether torch has both libraries, and a processor of AMD that computes with all of AVX-512 at once.

    Those before the family of Zen 5 take two turns for it, so that MKL, without it, is as quick.
    """
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.mkl.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and amd_family() >= ZEN_5
    )


@cache
def amd_family() -> int:
    """Family of a processor by AMD; 0 for others, and where the system does not tell."""
    try:
        described = CPU_INFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]  # the first core
    except OSError:
        described = platform.processor()  # tells on Windows
    family = re.search(r"family\W+(\d+)", described, re.IGNORECASE)
    return int(family[1]) if family and "AuthenticAMD" in described else 0
