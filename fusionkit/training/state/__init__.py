"""Any nested state of a run in one folder of safetensors and JSON, whole or not at all."""
