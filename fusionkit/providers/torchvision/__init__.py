"""Every classification and video model of torchvision as a backbone."""
