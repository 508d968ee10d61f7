"""The container program: an object in S3 becomes a typed Parquet file and a report beside it."""
