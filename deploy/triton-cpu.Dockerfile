# Triton without a GPU: the stock server, with the onnxruntime that our Python-based backend runs models with.
# Build it from the root of the repository: docker build -f deploy/triton-cpu.Dockerfile .
FROM nvcr.io/nvidia/tritonserver:24.12-py3
RUN pip install --no-cache-dir --break-system-packages onnxruntime==1.20.1
COPY triton_models/backends /opt/tritonserver/backends
USER triton-server
