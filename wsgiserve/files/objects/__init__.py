"""A store in a bucket of an object store that speaks S3. It needs the extra ``s3``."""
