"""Several devices."""

from __future__ import annotations

from typing import Any

import torch

from unweave.core.errors import InputError

# Pairs (number of the device, free bytes).
AvailableDeviceMemory = list[tuple[int, int]]


def calculate_available_device_cuda_memory(i: int) -> int:
    """The bytes of this CUDA device that this process has not allocated."""
    return torch.cuda.get_device_properties(i).total_memory - torch.cuda.memory_allocated(i)


def determine_available_memory_for_available_devices(max_devices: int) -> AvailableDeviceMemory:
    """Every CUDA device below this number, and its free bytes."""
    return [(i, calculate_available_device_cuda_memory(i)) for i in range(max_devices)]


def sort_devices_based_on_available_memory(devices: AvailableDeviceMemory) -> AvailableDeviceMemory:
    """The one with most free bytes first."""
    return sorted(devices, key=lambda device: device[1], reverse=True)


def get_best_available_cuda_device(max_devices: int | None = None) -> torch.device:
    """The CUDA device with most free bytes.

    Raises:
        InputError: if there is none.
    """
    there = torch.cuda.device_count()
    count = there if max_devices is None else min(max_devices, there)
    if not count:
        raise InputError(wanted="a CUDA device", got="none", remedy='use device="cpu"')
    best, _ = sort_devices_based_on_available_memory(determine_available_memory_for_available_devices(count))[
        0
    ]
    return torch.device("cuda", best)


def get_best_available_device(cfg: Any) -> torch.device:
    """The device that a config asks for; with several CUDA devices that with most free bytes."""
    device = torch.device(str(cfg.device))
    several = device.type == "cuda" and getattr(cfg, "n_devices", 1) > 1
    return get_best_available_cuda_device(cfg.n_devices) if several else device


def get_device_for_block_index(
    index: int, cfg: Any, device: str | torch.device | None = None
) -> torch.device:
    """The device of a layer where layers are spread evenly over `cfg.n_devices`, the first ones first."""
    device = torch.device(str(cfg.device) if device is None else device)
    if device.type == "cpu":
        return device
    nth = index * getattr(cfg, "n_devices", 1) // cfg.n_layers
    return torch.device(device.type, (device.index or 0) + nth)


def find_embedding_device(hf_model: Any) -> torch.device | None:
    """Where the input embeddings of a transformers model are that was spread over devices; else None."""
    if not getattr(hf_model, "hf_device_map", None):
        return None
    return hf_model.get_input_embeddings().weight.device


def count_unique_devices(hf_model: Any) -> int:
    """Over how many devices a transformers model was spread."""
    return len(set((getattr(hf_model, "hf_device_map", None) or {"": "cpu"}).values()))
