"""Media types by the suffix of a file name, from a table that is the same on every machine.

The table of the operating system is not used: some systems call JavaScript plain text. Text is declared as
UTF-8. A compressed file has the type of its compression, such as ``application/gzip`` for ``a.tar.gz``. It
has no content coding (RFC 9110 §8.4), so that it arrives as it was saved.
"""

from __future__ import annotations

from types import MappingProxyType

TEXT = "text/plain; charset=utf-8"
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
    ),
    "text/tab-separated-values": ".tsv",
    "text/vcard": ".vcf",
    "text/vtt": ".vtt",
    "text/xml": ".xml .xsl .xslt .rss .atom",
}
_OTHERS = {
    "application/epub+zip": ".epub",
    "application/geo+json": ".geojson",
    "application/gzip": ".gz .tgz .svgz",
    "application/java-archive": ".jar",
    "application/json": ".json .map",
    "application/ld+json": ".jsonld",
    "application/manifest+json": ".webmanifest",
    "application/msword": ".doc",
    "application/pdf": ".pdf",
    "application/postscript": ".ps .eps .ai",
    "application/rtf": ".rtf",
    "application/sqlite3": ".sqlite .sqlite3",
    "application/vnd.android.package-archive": ".apk",
    "application/vnd.apple.mpegurl": ".m3u8",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-fontobject": ".eot",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.rar": ".rar",
    "application/wasm": ".wasm",
    "application/x-7z-compressed": ".7z",
    "application/x-bzip2": ".bz2",
    "application/x-iso9660-image": ".iso",
    "application/x-tar": ".tar",
    "application/x-xz": ".xz",
    "application/xhtml+xml": ".xhtml .xht",
    "application/yaml": ".yaml .yml",
    "application/zip": ".zip .whl",
    "application/zstd": ".zst",
    "audio/aac": ".aac",
    "audio/flac": ".flac",
    "audio/midi": ".mid .midi",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg .oga .opus",
    "audio/wav": ".wav",
    "audio/webm": ".weba",
    "font/otf": ".otf",
    "font/ttf": ".ttf",
    "font/woff": ".woff",
    "font/woff2": ".woff2",
    "image/apng": ".apng",
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/heic": ".heic",
    "image/jpeg": ".jpg .jpeg .jpe .jfif",
    "image/jxl": ".jxl",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/tiff": ".tif .tiff",
    "image/vnd.microsoft.icon": ".ico .cur",
    "image/webp": ".webp",
    "model/gltf+json": ".gltf",
    "model/gltf-binary": ".glb",
    "video/3gpp": ".3gp",
    "video/mp2t": ".m2ts",
    "video/mp4": ".mp4 .m4v",
    "video/mpeg": ".mpeg .mpg",
    "video/ogg": ".ogv",
    "video/quicktime": ".mov .qt",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
    "video/x-msvideo": ".avi",
}

MEDIA_TYPES = MappingProxyType(
    {suffix: f"{kind}; charset=utf-8" for kind, names in _TEXT.items() for suffix in names.split()}
    | {suffix: kind for kind, names in _OTHERS.items() for suffix in names.split()}
)
"""Content-Type by suffix; the suffix is in lower case and has its dot."""

# A browser that opens such a file runs the scripts in it.
_ACTIVE = ("text/html", "text/xml", "application/xhtml+xml", "image/svg+xml", "application/pdf")

# These formats are not compressed themselves, so a compressed file may lie beside the original.
_COMPRESSIBLE = (
    "text/",
    "application/geo+json",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/postscript",
    "application/rtf",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xhtml+xml",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
    "model/gltf",
)


def media_type(name: str) -> str:
    """Return the Content-Type for a file name."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return MEDIA_TYPES.get(f".{suffix.lower()}", BYTES) if stem and dot else BYTES


def is_active(content_type: str) -> bool:
    """Whether a browser that opens the file runs the scripts in it."""
    return content_type.startswith(_ACTIVE)


def is_compressible(content_type: str) -> bool:
    """Whether compressing files of that type makes them smaller."""
    return content_type.startswith(_COMPRESSIBLE)
