"""The names that Arrow's types have in this program."""

from typing import Any, TypeAlias

import pyarrow as pa

Values: TypeAlias = "pa.Array[Any]"
"""A column of a batch, of whatever type."""
