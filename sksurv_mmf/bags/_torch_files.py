"""Headers of ``.pt`` files: a bare tensor, as CLAM writes it, or a dict of tensors."""

import math
import pickle
import pickletools
import sys
import zipfile
from dataclasses import dataclass

import torch

from ..utils._torch_state import usual_settings
from ._checks import check_announced, choose_coords, choose_features
from ._zip_files import check_checksum, open_zip

_REAL = {torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.bool}
_REAL |= {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}

# What the pickle of dense tensors refers to. torch.load with weights_only=True knows more, by which a pickle of some
# bytes may take any amount of memory: bytearray and tensors that are no storage of the file among them.
_REBUILD = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"}
_NAMES = {("torch._utils", name) for name in _REBUILD}
_NAMES |= {("collections", "OrderedDict"), ("torch", "Size"), ("torch.storage", "UntypedStorage")}
_NAMES |= {("torch", name) for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype)}
_NAMES |= {("torch", name) for name in dir(torch) if name.endswith("Storage")}
_REFERENCES = {"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}

# In bytes; that of a tensor has 150, and names of tiles take some 70 each. A pickle may need fifty times its bytes.
_HARMLESS_PICKLE, _LONGEST_PICKLE = 1 << 20, 1 << 25

_MORE_THAN_TENSORS = (
    "it holds more than tensors, and pickled objects are never loaded from a feature file. Save the tensor alone, with "
    "torch.save(features, path)."
)


@dataclass(frozen=True, slots=True)
class SavedTensor:
    """A tensor of a ``.pt`` file."""

    key: str | None
    shape: tuple

    def verify(self, path):
        """Refuse a file of which a member does not have its checksum."""
        with open_zip(path, ".pt") as archive:
            members = archive.infolist()
            # Told to leave checksums out, torch.save writes zeros.
            for member in members if any(member.CRC for member in members) else ():
                check_checksum(archive, member.filename)

    def read(self, path):
        """Read the tensor; bfloat16, which numpy lacks, becomes float32."""
        # Mapped, storages cannot reach beyond the file, whatever size the pickle claims.
        tensor = _load(path, map_location="cpu", mmap=True)
        tensor = tensor if self.key is None else tensor[self.key]
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().resolve_neg().numpy().copy()


def read_torch_headers(path, size, max_ratio, features_key, coords_key):
    """Describe features and coordinates of a ``.pt`` file, reading no storage."""
    _check_archive(path, size)
    content = _load(path, map_location="meta")
    if isinstance(content, torch.Tensor):
        if features_key is not None or coords_key is not None:
            raise ValueError("it holds a single tensor without a name; leave features_key and coords_key out.")
        return _describe(None, content, size), None
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}; expected a tensor or a dict of tensors.")
    names = [key for key, value in content.items() if isinstance(key, str) and isinstance(value, torch.Tensor)]
    keys = choose_features(names, features_key), choose_coords(names, coords_key)
    return [None if key is None else _describe(key, content[key], size) for key in keys]


def _check_archive(path, size):
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "it is not a zip archive, as torch.save writes it since version 1.6; it is truncated, older or no file of "
            "PyTorch. If you trust it, load it and save its tensor again."
        )
    with open_zip(path, ".pt") as archive:
        _check_members(archive.infolist(), size)
    # As torch reads it: the archive may say something else to another reader.
    archive = torch._C.PyTorchFileReader(path)
    _check_pickle(archive.get_record("data.pkl"), size)
    # Asked for shapes alone, torch swaps the bytes of storages that it has not read, which ends the process.
    if archive.has_record("byteorder") and archive.get_record("byteorder") != sys.byteorder.encode():
        raise ValueError(f"its numbers are not in the order of bytes of this machine, {sys.byteorder}-endian.")


def _check_members(members, size):
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ValueError("it is a TorchScript archive, which holds code; save the tensor alone with torch.save.")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed, which torch.save never does.")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its members announce more bytes than the file has; it is truncated or damaged.")


def _check_pickle(data, size):
    """Refuse a pickle that refers to more than dense tensors need, without loading it."""
    most = max(_HARMLESS_PICKLE, min(size // 2, _LONGEST_PICKLE))
    if len(data) > most:
        raise ValueError(
            f"its pickle has {len(data)} of its {size} bytes, more than the {most} that names beside features may "
            "take. If you trust it, load it and save the tensors alone: torch.save({'features': ..., 'coords': ...}, "
            "path)."
        )
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in _REFERENCES and tuple(str(argument).split(" ")) not in _NAMES:
            raise ValueError(_MORE_THAN_TENSORS)


@usual_settings()
def _load(path, **how):
    try:
        return torch.load(path, weights_only=True, **how)
    except pickle.UnpicklingError:
        raise ValueError(_MORE_THAN_TENSORS) from None  # the message of torch advises to unpickle it after all


def _describe(key, tensor, size):
    if tensor.layout != torch.strided or tensor.dtype not in _REAL:
        raise ValueError(f"expected a dense tensor of numbers, got {tensor.dtype}, {tensor.layout}.")
    shape = tuple(tensor.shape)
    # A tensor can have stride 0 and so more elements than bytes.
    if math.prod(shape) * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise ValueError(f"its tensor of shape {shape} repeats its elements; save it with torch.save(x.contiguous()).")
    check_announced(shape, tensor.itemsize, size)
    return SavedTensor(key, shape)
