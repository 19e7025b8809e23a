# MIASSAM for batch work on a CPU, as a user without rights; see docs/install.md.
#   docker build -t miassam .
#   docker run --rm --read-only --tmpfs /tmp --network none -v "$PWD:/data" --user "$(id -u):$(id -g)" miassam \
#       segment /data/patients --bank /data/brain.bank --output /data/results
FROM python:3.12-slim-bookworm AS build
COPY . /source
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.12-slim-bookworm
COPY requirements*.txt /tmp/
# PyTorch's own index holds builds without CUDA, a tenth of the size; the pinned versions are the same.
RUN python -m pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
        "torch==$(sed -n 's/^torch==//p' /tmp/requirements.txt)+cpu" \
        "torchvision==$(sed -n 's/^torchvision==//p' /tmp/requirements.txt)+cpu" \
    && grep -vE '^torch(vision)?==' /tmp/requirements.txt > /tmp/rest.txt \
    && python -m pip install --no-cache-dir -r /tmp/rest.txt -r /tmp/requirements-dicom.txt -r /tmp/requirements-cluster.txt \
    && rm -f /tmp/*.txt
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir --no-deps /wheels/*.whl && rm -rf /wheels \
    && useradd --create-home --uid 1000 miassam
# Downloaded models and spilled embeddings go to the cache folder; mount one to keep them.
ENV HOME=/tmp XDG_CACHE_HOME=/tmp/cache PYTHONDONTWRITEBYTECODE=1
USER miassam
WORKDIR /data
ENTRYPOINT ["miassam"]
CMD ["--help"]
