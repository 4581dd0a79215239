"""Hugging Face vision models and text encoders as fusionkit backbones."""
