"""Media types by the suffix of a file name, from a table that is the same on every machine.

The table of the operating system is not used: some systems call JavaScript plain text. Text is declared as
UTF-8. A compressed file has the type of its compression, such as ``application/gzip`` for ``a.tar.gz``. It
has no content coding (RFC 9110 §8.4), so that it arrives as it was saved. The exception is a format that is
always compressed and that browsers know only with its coding, see ``content_coding``.
"""

from __future__ import annotations

import re
from types import MappingProxyType

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"

_TEXT = {
    "text/css": ".css",
    "text/csv": ".csv",
    "text/html": ".html .htm",
    "text/calendar": ".ics",
    "text/javascript": ".js .mjs .cjs",
    "text/markdown": ".md .markdown",
    "text/plain": (
        ".txt .text .log .conf .cfg .ini .toml .rst .diff .patch .py .pyi .c .h .cc .cpp .hpp .rs .go .java"
        " .kt .rb .pl .sh .bat .ps1 .sql .lua .ts .tsx .jsx .scss .sass .less .tex .srt .nfo"
        " .adoc .org .asc .sha256 .sha512 .md5 .dsc .changes .buildinfo .properties"
    ),
    "text/tab-separated-values": ".tsv",
    "text/turtle": ".ttl",
    "text/vcard": ".vcf",
    "text/vtt": ".vtt",
    "text/xml": ".xml .xsl .xslt .rss .atom",
}
_OTHERS = {
    "application/dash+xml": ".mpd",
    "application/epub+zip": ".epub",
    "application/geo+json": ".geojson",
    "application/geo+json-seq": ".geojsonl",
    "application/gpx+xml": ".gpx",
    "application/gzip": ".gz .tgz",
    "application/java-archive": ".jar",
    "application/json": ".json .map",
    "application/json5": ".json5",
    "application/jsonl": ".jsonl .ndjson",
    "application/ld+json": ".jsonld",
    "application/manifest+json": ".webmanifest",
    "application/msword": ".doc",
    "application/pdf": ".pdf",
    "application/pgp-signature": ".sig",
    "application/pkix-cert": ".cer",
    "application/postscript": ".ps .eps .ai",
    "application/rdf+xml": ".rdf .owl",
    "application/rtf": ".rtf",
    "application/smil+xml": ".smil",
    "application/sqlite3": ".sqlite .sqlite3",
    "application/ttml+xml": ".ttml",
    "application/vnd.android.package-archive": ".apk",
    "application/vnd.apache.arrow.file": ".arrow .feather",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apple.mpegurl": ".m3u8",
    "application/vnd.comicbook+zip": ".cbz",
    "application/vnd.google-earth.kml+xml": ".kml",
    "application/vnd.google-earth.kmz": ".kmz",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-fontobject": ".eot",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.oasis.opendocument.graphics": ".odg",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": ".ppsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template": ".xltx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": ".dotx",
    "application/vnd.rar": ".rar",
    "application/vnd.visio": ".vsd",
    "application/wasm": ".wasm",
    "application/x-7z-compressed": ".7z",
    "application/x-apple-diskimage": ".dmg",
    "application/x-bittorrent": ".torrent",
    "application/x-bzip2": ".bz2",
    "application/x-debian-package": ".deb",
    "application/x-ipynb+json": ".ipynb",
    "application/x-iso9660-image": ".iso",
    "application/x-mobipocket-ebook": ".mobi",
    "application/x-pem-file": ".pem",
    "application/x-rpm": ".rpm",
    "application/x-shockwave-flash": ".swf",
    "application/x-tar": ".tar",
    "application/x-x509-ca-cert": ".crt",
    "application/x-xz": ".xz",
    "application/xhtml+xml": ".xhtml .xht",
    "application/xml-dtd": ".dtd",
    "application/yaml": ".yaml .yml",
    "application/zip": ".zip .whl",
    "application/zstd": ".zst",
    "audio/aac": ".aac",
    "audio/ac3": ".ac3",
    "audio/aiff": ".aiff .aif .aifc",
    "audio/amr": ".amr",
    "audio/basic": ".au .snd",
    "audio/eac3": ".eac3",
    "audio/flac": ".flac",
    "audio/midi": ".mid .midi",
    "audio/mp4": ".m4a .m4b .m4r",
    "audio/mpeg": ".mp3 .mp2 .mpga",
    "audio/mpegurl": ".m3u",
    "audio/ogg": ".ogg .oga .opus",
    "audio/wav": ".wav",
    "audio/webm": ".weba",
    "audio/x-caf": ".caf",
    "audio/x-matroska": ".mka",
    "audio/x-ms-wma": ".wma",
    "font/collection": ".ttc .otc",
    "font/otf": ".otf",
    "font/ttf": ".ttf",
    "font/woff": ".woff",
    "font/woff2": ".woff2",
    "image/apng": ".apng",
    "image/avif": ".avif .avifs",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/heic": ".heic",
    "image/heic-sequence": ".heics",
    "image/heif": ".heif",
    "image/heif-sequence": ".heifs",
    "image/jp2": ".jp2",
    "image/jpeg": ".jpg .jpeg .jpe .jfif",
    "image/jxl": ".jxl",
    "image/ktx2": ".ktx2",
    "image/png": ".png",
    "image/qoi": ".qoi",
    "image/svg+xml": ".svg .svgz",
    "image/tiff": ".tif .tiff",
    "image/vnd.adobe.photoshop": ".psd",
    "image/vnd.djvu": ".djvu .djv",
    "image/vnd.microsoft.icon": ".ico .cur",
    "image/webp": ".webp",
    "image/x-adobe-dng": ".dng",
    "image/x-portable-anymap": ".pnm",
    "image/x-portable-bitmap": ".pbm",
    "image/x-portable-graymap": ".pgm",
    "image/x-portable-pixmap": ".ppm",
    "image/x-tga": ".tga",
    "message/rfc822": ".eml",
    "model/3mf": ".3mf",
    "model/gltf+json": ".gltf",
    "model/gltf-binary": ".glb",
    "model/mtl": ".mtl",
    "model/obj": ".obj",
    "model/step": ".step .stp",
    "model/stl": ".stl",
    "model/vnd.usd": ".usd .usdc",
    "model/vnd.usda": ".usda",
    "model/vnd.usdz+zip": ".usdz",
    "video/3gpp": ".3gp",
    "video/3gpp2": ".3g2",
    "video/iso.segment": ".m4s",
    "video/mp2t": ".m2ts .mts",
    "video/mp4": ".mp4 .m4v .cmfv .mpg4",
    "video/mpeg": ".mpeg .mpg",
    "video/ogg": ".ogv",
    "video/quicktime": ".mov .qt",
    "video/webm": ".webm",
    "video/x-flv": ".flv",
    "video/x-matroska": ".mkv",
    "video/x-ms-wmv": ".wmv",
    "video/x-msvideo": ".avi",
}

MEDIA_TYPES = MappingProxyType(
    {suffix: f"{kind}; charset=utf-8" for kind, names in _TEXT.items() for suffix in names.split()}
    | {suffix: kind for kind, names in _OTHERS.items() for suffix in names.split()}
)
"""Content-Type by suffix; the suffix is in lower case and has its dot."""

# RFC 6838 §4.2
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*(?:;[\t\x20-\x7e]*)?", re.ASCII)

# A browser that opens such a file runs the scripts in it.
_ACTIVE = re.compile(
    r"(?:text/html|text/xml|application/xml|application/pdf|[^;]*\+xml)\s*(?:;|$)", re.IGNORECASE
)

# These formats are not compressed themselves, so a compressed file may lie beside the original.
_COMPRESSIBLE = (
    "text/",
    "application/geo+json",
    "application/json",
    "application/json5",
    "application/jsonl",
    "application/ld+json",
    "application/manifest+json",
    "application/postscript",
    "application/rtf",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-ipynb+json",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
    "model/gltf",
    "model/mtl",
    "model/obj",
    "model/stl",
)


def check_media_type(text: object) -> str:
    """Return ``text`` if it is a Content-Type; ValueError for anything else."""
    if not isinstance(text, str) or not _MEDIA_TYPE.fullmatch(text):
        raise ValueError(f"{text!r} is no media type; write one such as 'text/plain; charset=utf-8'")
    return text


def media_type(name: str) -> str:
    """Return the Content-Type for a file name."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return MEDIA_TYPES.get(f".{suffix.lower()}", BYTES) if stem and dot else BYTES


def content_coding(name: str) -> str | None:
    """Return the coding that a file of its type always has, such as gzip for ``a.svgz``; else None."""
    return "gzip" if name.lower().endswith(".svgz") else None


def is_active(content_type: str) -> bool:
    """Whether a browser that opens the file runs the scripts in it."""
    return _ACTIVE.match(content_type) is not None


def is_compressible(content_type: str) -> bool:
    """Whether compressing files of that type makes them smaller."""
    return content_type.startswith(_COMPRESSIBLE) or content_type.endswith("+xml")
