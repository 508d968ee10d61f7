"""A batch platform, and the parts it is made of, each usable on its own."""

from . import parts
from .batch_platform import BatchPlatform
from .parts import *  # noqa: F403 - all that it lists
from .platform_args import BatchPlatformArgs

__all__ = ["BatchPlatform", "BatchPlatformArgs"]
__all__ += parts.__all__
