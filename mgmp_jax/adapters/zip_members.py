"""What lies in zips that others wrote, read with suspicion."""

from __future__ import annotations

import zipfile

__all__ = ["read_member"]

_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Reads a member of a zip, in no more memory than the zip says that it needs.

    Args:
        archive: an open zip.
        member: of :meth:`zipfile.ZipFile.infolist`.

    Raises:
        ValueError: it is packed in another way than stored or deflated, which zipfile unpacks
            whole whatever is asked for, or is not as long as the zip says.
        Exception: it is damaged; zipfile raises many kinds.
    """
    if member.compress_type not in _READ:
        raise ValueError(
            f"{member.filename} is packed by method {member.compress_type}; pack it again, stored "
            "or deflated"
        )
    said = member.file_size
    member.file_size = said + 1  # zipfile cuts off what is beyond it and says nothing
    try:
        with archive.open(member) as file:
            raw = file.read(said + 1)
    finally:
        member.file_size = said
    if len(raw) != said:
        found = "more" if len(raw) > said else f"{len(raw)} bytes"
        raise ValueError(f"{member.filename} should hold {said} bytes and holds {found}")
    return raw
