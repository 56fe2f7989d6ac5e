"""The sidekick images: a folder each, with its Dockerfile and its programs."""
