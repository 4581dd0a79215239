"""The whole way from two pretrained backbones to a saved fused model, on data that ships along."""
