"""Addresses of stores."""

from __future__ import annotations

import pytest

from wsgiserve.files.objects.address import Address, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://bucket", Address("bucket", "")),
        ("s3://bucket/", Address("bucket", "")),
        ("S3://bucket/a", Address("bucket", "a/")),
        ("s3://my.bucket-1/a/b_c/", Address("my.bucket-1", "a/b_c/")),
    ],
)
def test_a_bucket_and_a_prefix(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize("url", ["", "bucket", "s3:bucket", "https://bucket", "file:///tmp"])
def test_another_url_is_told_what_to_write(url: str) -> None:
    with pytest.raises(ValueError, match="s3://BUCKET/PREFIX"):
        parse(url)


@pytest.mark.parametrize(
    "url", ["s3://", "s3://a", "s3:///a", "s3://-a-", "s3://a b c", "s3://key:secret@host"]
)
def test_a_bucket_that_cannot_be(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be a bucket"):
        parse(url)


@pytest.mark.parametrize(
    "url", ["s3://bucket//a", "s3://bucket/../a", "s3://bucket/a/./b", "s3://bucket/a?b", "s3://bucket/ü"]
)
def test_a_prefix_that_cannot_be(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be a prefix"):
        parse(url)
