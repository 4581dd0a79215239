"""Which of the installed architectures a file of tensors fits."""
