"""What `events` and `feedback` held, as Parquet on any file system: each offset once, by topic and day."""
