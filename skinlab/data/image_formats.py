"""Image formats that can't be read, by the names of their files and by their first bytes."""

from __future__ import annotations

import os

from skinlab.data.image_files import open_image, size_and_time

_SUFFIXES = {
    "HEIC": ".heic .heics .heif .hif",
    "AVIF": ".avif",
    "DICOM": ".dcm .dicom .dic .ima",
    "camera RAW": ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 .sr2 .srw .x3f",
    "JPEG 2000": ".jp2 .j2k .j2c .jpf .jpx .jpm",
    "JPEG XL": ".jxl",
    "JPEG-LS": ".jls",
    "MPO": ".mpo",
    "APNG": ".apng",
    "SVG": ".svg .svgz",
    "PDF": ".pdf",
    "PostScript": ".eps .ps .ai",
    "Photoshop": ".psd .psb",
    "GIMP": ".xcf",
    "Netpbm": ".ppm .pgm .pbm .pnm .pfm",
    "medical volume": ".nii .nrrd .mha .mhd",
    "whole-slide image": ".svs .ndpi .scn .mrxs",
    "another image format": ".bpg .dib .emf .exr .fits .hdr .ico .pcx .tga .wmf",
}
OTHER_IMAGE_SUFFIXES = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

# Format, position and bytes; files of the first five formats can be read whatever their suffix.
_SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG"),
    ("GIF", 0, b"GIF8"),
    ("WebP", 8, b"WEBP"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("DICOM", 128, b"DICM"),
    ("HEIC", 4, b"ftyphei"),
    ("HEIC", 4, b"ftyphev"),
    ("HEIC", 4, b"ftypmif1"),
    ("AVIF", 4, b"ftypavi"),
    ("camera RAW", 4, b"ftypcrx"),
    ("camera RAW", 0, b"FUJIFILMCCD-RAW"),
    ("JPEG 2000", 4, b"jP  \r\n"),
    ("JPEG XL", 4, b"JXL \r\n"),
    ("SVG", 0, b"<svg"),
    ("PDF", 0, b"%PDF"),
    ("PostScript", 0, b"%!PS"),
    ("Photoshop", 0, b"8BPS"),
)
_HEAD = 132  # bytes that hold every signature


def image_format(path: str | os.PathLike[str]) -> str:
    """Return the image format by a file's first bytes; an empty text if it is unknown or the file can't be read."""
    try:
        if size_and_time(path)[0] < 0:  # opening a pipe would block
            return ""
        with open_image(path) as file:
            head = file.read(_HEAD)
    except OSError:
        return ""
    return next((name for name, start, mark in _SIGNATURES if head[start:].startswith(mark)), "")
