"""What runs inside Triton: preprocessing, the ONNX Runtime engine, decoding and postprocessing.

Nothing here imports torch or another package of this project: training and evaluation import the
same functions, so that serving and training see the same numbers.
"""
