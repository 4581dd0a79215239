"""What a model is trained on: samples on disk, decoded once and prepared for each branch."""
