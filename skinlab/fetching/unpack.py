"""Unpack archives: only below their folder, completely or not at all, with every file's checksum."""

from __future__ import annotations

import errno
import lzma
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from skinlab.errors import UserError

CONTROL = re.compile("[\x00-\x1f\x7f]")
OF_A_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
SKIPPED = ("__MACOSX", ".DS_Store")


def unpack(archive: Path, target: Path, advance: Callable[[int], None], *, holds: str | None = None) -> None:
    """Unpack a ZIP archive into a folder, which is there only once everything is in it.

    Folders around everything are left out: all of them, or those above what the archive holds.

    Args:
        archive: whose files all have a CRC-32, which is checked.
        target: the folder, replaced if it is there.
        advance: called with the number of bytes of the archive that are unpacked.
        holds: name of a file or folder that the target will have; None for any.

    Raises:
        UserError: it is no ZIP archive or a damaged or encrypted one, has a name outside the folder, a link, or nothing
            of the wanted name, or there is no space for it.
    """
    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [each for each in opened.infolist() if _wanted(each)]
            check_members(archive, members)
            check_space(target.parent, sum(each.file_size for each in members), f"to unpack {archive.name}")
            for member in members:
                place = temporary / member.filename
                place.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, place.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                advance(member.compress_size)
        inner = _below_folders(temporary, holds, archive)
        shutil.rmtree(target, ignore_errors=True)
        inner.rename(target)
    except UserError:  # a ValueError, too
        raise
    except OSError as error:
        if error.errno is None:  # bz2's
            raise _damaged(archive, error) from None
        if error.errno not in OF_A_NAME:
            raise
        raise UserError(f"{archive} can't be unpacked below {target.parent} ({error.strerror})") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise _damaged(archive, error) from None
    except RuntimeError as error:  # encrypted, or compressed by a method that zipfile lacks
        raise UserError(f"{archive} can't be unpacked ({error}): unpack it yourself and set data.root") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _damaged(archive: Path, error: Exception) -> UserError:
    return UserError(f"{archive} is damaged or no ZIP archive ({error}): delete it and download it again")


def check_members(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive whose files would lie outside its folder, on or in each other, and one with links.

    Raises:
        UserError: it names the first such file.
    """
    names: set[str] = set()
    for member in members:
        path = PurePosixPath(member.filename)
        if not path.parts or CONTROL.search(member.filename):
            raise UserError(f"{archive}: {member.filename!r} is no name of a file; nothing is unpacked")
        outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]
        if outside or stat.S_ISLNK(member.external_attr >> 16):
            what = "leads outside its folder" if outside else "is a link"
            raise UserError(f"{archive}: {member.filename} {what}; nothing is unpacked, don't use this archive")
        if str(path) in names:
            raise UserError(f"{archive} has {member.filename} twice; nothing is unpacked, don't use this archive")
        names.add(str(path))
    if inside := next((name for name in names if not names.isdisjoint(map(str, PurePosixPath(name).parents))), None):
        raise UserError(f"{archive} has {inside} below a file; nothing is unpacked, don't use this archive")


def check_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse to begin what the disk has no space for.

    Args:
        folder: on the disk; it or one above it exists.
        needed: bytes.
        purpose: in words, for the message.

    Raises:
        UserError: there are fewer bytes.
    """
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(
            f"{there}: {needed / 1e9:.1f} GB are needed {purpose}, {free / 1e9:.1f} GB are free; free some space or "
            "choose another data.root"
        )


def _wanted(member: zipfile.ZipInfo) -> bool:
    folder = member.filename.endswith("/")  # ZipInfo.is_dir fails on an empty name
    return not folder and not any(part in SKIPPED for part in PurePosixPath(member.filename).parts)


def _below_folders(folder: Path, holds: str | None, archive: Path) -> Path:
    """Return the folder below those that hold nothing but one folder."""
    while holds is None or not (folder / holds).exists():
        inside = list(folder.iterdir()) if folder.exists() else []
        if len(inside) == 1 and inside[0].is_dir():
            folder = inside[0]
        elif holds is not None or not inside:
            raise UserError(f"{archive} holds no {holds or 'file'}: it is another archive than the one that is wanted")
        else:
            break
    return folder
