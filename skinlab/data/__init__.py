"""Files on disk become a manifest; a manifest becomes batches."""
