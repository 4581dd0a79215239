"""What ``write_results.py`` runs and writes."""
