"""The fusion heads that come with fusionkit, as an ordinary plugin."""
