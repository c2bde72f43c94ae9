"""Getting a network and its sites: the embedded default, the hub, a folder, a GGUF file, or any module."""
