"""The address of a store: ``s3://BUCKET/PREFIX``."""

from __future__ import annotations

import re
from typing import NamedTuple

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; older buckets and other
# engines also have capitals and underscores.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_PART = re.compile(r"[A-Za-z0-9!_.*'()@=+-]+")


class Address(NamedTuple):
    """A bucket, and the prefix of all keys in it: '' or a path that ends with a slash."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


def parse(url: str) -> Address:
    """Return the address that ``url`` stands for; ValueError says what to write."""
    scheme, separator, rest = url.partition("://")
    if scheme.lower() != "s3" or not separator:
        raise ValueError(f"{url!r} is no store; write s3://BUCKET or s3://BUCKET/PREFIX")
    bucket, _, prefix = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{bucket!r} cannot be a bucket; write s3://BUCKET or s3://BUCKET/PREFIX")
    prefix = prefix.removesuffix("/")
    for part in prefix.split("/") if prefix else ():
        if not _PART.fullmatch(part) or part in (".", ".."):
            raise ValueError(f"{prefix!r} cannot be a prefix; use letters, digits, '-', '_', '.' and '/'")
    return Address(bucket, f"{prefix}/" if prefix else "")
