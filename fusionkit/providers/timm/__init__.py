"""Every model of timm (PyTorch Image Models) as a backbone."""
