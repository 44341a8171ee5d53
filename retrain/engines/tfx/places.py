"""Where files are: folders of this machine, and URIs that a container finds below a mount.

A compiled pipeline names object storage by URI. Kubeflow's launcher copies the artifacts of a node
to ``/gcs``, ``/s3`` or ``/minio`` and back, and Vertex mounts ``/gcs``; components read folders
there, so none of them speaks a storage's protocol.
"""

from __future__ import annotations

from pathlib import Path

from streaming.contracts.errors import ConfigurationError

Place = Path | str
"""A folder, or a URI such as ``gs://bucket/folder``."""

MOUNTS = {"gs://": "gcs", "s3://": "s3", "minio://": "minio"}
"""Scheme → folder below the root of a container."""


def is_uri(place: Place) -> bool:
    """Whether it is a URI.

    >>> is_uri("gs://bucket/rows"), is_uri(Path("rows")), is_uri("rows")
    (True, False, False)
    """
    return isinstance(place, str) and "://" in place


def local_folder(place: Place, step: str) -> Path:
    """The folder of this machine that `place` names.

    Raises
    ------
    ConfigurationError
        When it is a URI other than ``file://``.

    >>> local_folder("file:///srv/rows", "examples")
    PosixPath('/srv/rows')
    """
    if not is_uri(place):
        return Path(place)
    text = str(place)
    if text.startswith("file:///"):
        return Path(text.removeprefix("file://"))
    raise ConfigurationError(
        f"The step '{step}' names {text}. A pipeline that runs here reads folders: copy or mount it"
        " and give its path, or compile the pipeline."
    )


def mounted(text: str, root: Path) -> str:
    """The path below `root` at which a container finds a URI; other texts as they are.

    >>> mounted("s3://bucket/a", Path("/")), mounted("bucket/a", Path("/"))
    ('/s3/bucket/a', 'bucket/a')
    """
    for scheme, folder in MOUNTS.items():
        if text.startswith(scheme):
            return str(root / folder / text.removeprefix(scheme))
    return text


def unmounted(text: str, root: Path) -> str:
    """The URI that a container finds at this path; the inverse of `mounted`.

    >>> unmounted("/s3/bucket/a", Path("/"))
    's3://bucket/a'
    """
    for scheme, folder in MOUNTS.items():
        start = f"{root / folder}/"
        if text.startswith(start):
            return scheme + text.removeprefix(start)
    return text
