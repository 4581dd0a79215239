"""The backbones of well-known libraries, as ordinary plugins."""
