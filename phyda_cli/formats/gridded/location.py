"""Where data are: a path, or the URL of a Zarr store in an object store or on a server (`gs://`, `s3://`, `https://`).

A URL is opened through fsspec, whose own settings give credentials and options (`FSSPEC_S3_ANON=true`, say); what
speaks the protocols of the clouds is an extra, and loaded only for a URL.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import xarray as xr

from phyda_cli.errors import BadDataError, InputMissingError, MissingExtraError
from phyda_cli.formats.gridded.anemoi import anemoi_dataset, is_anemoi

Location = Path | str
"""A path, or the text of a URL."""

_MARK: Final = "://"
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, RuntimeError)
"""What the libraries raise for what is no Zarr store, or a damaged one."""


def location(text: str) -> Location:
    """Return the URL or the path that a text names."""
    return text if _MARK in text else Path(text)


def is_zarr(place: Location) -> bool:
    """Return whether a place is a Zarr store: every URL is one, and a directory with its marks."""
    if isinstance(place, str):
        return True
    return place.is_dir() and any((place / mark).is_file() for mark in ("zarr.json", ".zmetadata", ".zgroup"))


def open_zarr(place: Location) -> xr.Dataset:
    """Open a Zarr store without reading its fields, times undecoded; an anemoi dataset as what it holds.

    Raises InputMissingError where there is nothing, BadDataError for what is no store, MissingExtraError.
    """
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError(f"{place}: reading Zarr", "store") from error
    store = _mapped(place) if isinstance(place, str) else str(place)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning)  # without consolidated metadata it takes longer
            warnings.filterwarnings("ignore", category=UserWarning, module="zarr")
            warnings.filterwarnings("ignore", category=xr.SerializationWarning)
            group = zarr.open_group(store, mode="r")
            if is_anemoi(group):
                return anemoi_dataset(group, str(place))
            return xr.open_dataset(
                group.store, engine="zarr", chunks=None, cache=False, decode_times=False, decode_timedelta=False
            )
    except FileNotFoundError:
        raise InputMissingError(f"{place}: no Zarr store there; check the name") from None
    except _UNREADABLE as error:
        reason = str(error).split("\n")[0]
        raise BadDataError(f"{place}: cannot be opened as Zarr ({type(error).__name__}: {reason})") from None


def _mapped(url: str) -> Any:
    """Return the store behind a URL. Raises MissingExtraError where its protocol is not installed."""
    protocol = url.split(_MARK, 1)[0].rsplit("::", 1)[-1]
    try:
        from fsspec import get_filesystem_class
        from zarr.storage import FsspecStore

        get_filesystem_class(protocol)
    except ImportError as error:
        raise MissingExtraError(f"{url}: the protocol {protocol}", "cloud") from error
    except ValueError:
        raise InputMissingError(f"{url}: no such protocol {protocol!r}; gs, s3 and https are known") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file system that is not asynchronous is wrapped
        return FsspecStore.from_url(url, read_only=True)
