"""What ``python tests/docs/write_heads.py`` makes ``docs/heads.md`` and its drawings of."""
