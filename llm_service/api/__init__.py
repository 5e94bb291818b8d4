"""Wire to domain and back, nothing else: one file per endpoint family."""
