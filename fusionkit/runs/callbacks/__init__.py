"""What happens beside the steps of a run: averages, the best model, figures, states, progress."""
