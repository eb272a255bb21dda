# The `current` stack. docker build -t attention-modelzoo .
# With CUDA: docker build --build-arg BUILD=cuda --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 -t attention-modelzoo:cuda .
# Run: docker run --rm -it [--gpus all] -v DATA:/data attention-modelzoo zoo list
ARG BASE=ubuntu:24.04
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*

ARG BUILD=cpu
WORKDIR /zoo
COPY . .
# There is no driver while an image is built, so the build with CUDA is named and not looked for.
RUN ZOO_CUDA_UNSEEN=1 bash scripts/setup.sh --stack current "--${BUILD}" \
    && useradd --create-home zoo && chown -R zoo /zoo
USER zoo
ENV PATH=/zoo/.venv/current/bin:$PATH ZOO_DATA=/data MPLBACKEND=Agg TF_USE_LEGACY_KERAS=1
CMD ["zoo", "doctor"]
