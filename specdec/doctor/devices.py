"""The processor and the GPUs that models can run on."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from specdec.doctor.finding import Finding, Status

GB = 1e9
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much memory a container has."""
DRIVERS = {"NVIDIA's": Path("/proc/driver/nvidia/version"), "AMD's": Path("/dev/kfd")}
"""What is there if the driver of a GPU is."""

BUILDS = "https://pytorch.org/get-started/locally has other builds of torch"


def devices() -> Iterator[Finding]:
    """Describe the processor, its memory, and each GPU; a GPU has to multiply two matrices."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("processor", Status.OK, f"{processor_name()}, {capability}", {"cores": cores})
    yield _threads(cores, torch.get_num_threads())
    if memory := _memory():
        yield Finding("memory", Status.OK, f"{memory / GB:.1f} GB", {"bytes": memory})
    gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    yield from map(_gpu, gpus)
    if not gpus:
        yield _no_gpu()


def processor_name() -> str:
    """Name the processor as Linux knows it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _threads(cores: int, threads: int) -> Finding:
    figures = {"threads": threads}
    if threads > cores:
        message = f"expected one per core or fewer, got {threads} on {cores} cores; set OMP_NUM_THREADS={cores}"
        return Finding("threads", Status.WARNING, message, figures)
    return Finding("threads", Status.OK, f"{threads} on {cores} cores", figures)


def _memory() -> int:
    """Count the bytes that processes may use in all; 0 where nothing says so."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return 0
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(whole, int(LIMIT.read_text()))
    except (OSError, ValueError):  # there is no limit
        return whole


def _gpu(number: int) -> Finding:
    name = f"cuda:{number}"
    properties = torch.cuda.get_device_properties(number)
    build = ", ROCm" if torch.version.hip else ""
    kind = f"{properties.name}{build}, compute capability {properties.major}.{properties.minor}"
    try:
        ones = torch.ones(32, 32, device=name)
        right = bool((ones @ ones == 32).all())
        free, whole = torch.cuda.mem_get_info(number)
    except Exception as error:  # of several kinds, as builds of torch differ
        reason = str(error).strip().partition("\n")[0]
        message = (
            f"expected torch {torch.__version__} to compute on {kind}, got {reason}; install a build of torch for it"
        )
        return Finding(name, Status.FAILED, message)
    if not right:
        return Finding(
            name, Status.FAILED, f"expected {kind} to multiply ones, got another product; mistrust its results"
        )
    figures = {"bytes": whole, "free_bytes": free}
    return Finding(name, Status.OK, f"{kind}, {whole / GB:.1f} GB, {free / GB:.1f} GB free", figures)


def _no_gpu() -> Finding:
    """Say why torch sees none."""
    if torch.backends.mps.is_available():
        return Finding("GPU", Status.OK, "Apple's, which torch calls mps")
    drivers = [whose for whose, path in DRIVERS.items() if path.exists()]
    if drivers:
        message = f"expected torch {torch.__version__} to see a GPU, because {drivers[0]} driver is installed; got none"
        return Finding("GPU", Status.WARNING, f"{message}; {BUILDS}")
    return Finding("GPU", Status.INFO, f"none that torch {torch.__version__} sees; models run on the processor")
