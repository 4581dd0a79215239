"""An example plugin for fusionkit."""
