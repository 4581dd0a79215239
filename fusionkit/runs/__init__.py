"""What the commands fit, evaluate, predict and compare do: a run in a folder of its own."""
