"""What the benchmarks share: the machine, the versions, processor time. Measures nothing itself."""

import platform
import resource
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """The processor, as the kernel names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions(*packages: str) -> dict[str, str]:
    """Versions of the packages and of Python."""
    return {name: version(name) for name in packages} | {"python": platform.python_version()}


def processor_seconds() -> float:
    """What this process and those that it started and that have ended have used so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
