"""Export: models as ONNX files, a web page, and PyTorch states."""
