"""The contract that every backbone keeps, whoever wrote it."""
