"""From files on disk to a manifest: readers, audit and splits; from the manifest to batches."""
