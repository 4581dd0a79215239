"""What ``fusion_table.py`` is made of: data, contenders, and the table."""
