"""Files of tensors that PyTorch has saved."""

import io
import pathlib
import zipfile
from typing import Any

from dpd_jax.errors import UserError
from dpd_jax.interchange import extras
from dpd_jax.storage import atomic


def torch() -> Any:
    """PyTorch; raises UserError if it is not installed."""
    return extras.package("torch", "torch")


def load(path: pathlib.Path) -> Any:
    """The tensors in a file, in lists or alone; each is read from the disk when it is used.

    Nothing but tensors and plain Python values is loaded, because other objects can run code.

    Raises:
      UserError: if there is no such file, it is damaged, or it holds other objects; or if PyTorch
        is not installed.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}.")
    try:
        # Files older than PyTorch 1.6 are no zip archives and are read as a whole.
        lazily = zipfile.is_zipfile(path)
        return torch().load(path, map_location="cpu", weights_only=True, mmap=lazily)
    except UserError:
        raise
    except Exception as error:  # PyTorch raises many types for broken and foreign files.
        reason = (str(error).splitlines() or [""])[0][:200]
        raise UserError(
            f"{path} is damaged, or holds other things than tensors ({type(error).__name__}: "
            f"{reason})."
        ) from error


def save(path: pathlib.Path, tensor: Any) -> None:
    """Writes a tensor completely or not at all; raises UserError if the disk is full."""
    buffer = io.BytesIO()
    torch().save(tensor, buffer)
    atomic.write_bytes(path, buffer.getvalue())
