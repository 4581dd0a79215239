"""A plugin for fusionkit."""
