# pixace for NVIDIA GPUs: CUDA comes with JAX's own packages, the driver from the host. Build and run
# (BuildKit or Podman, and NVIDIA's container toolkit are needed; docs/docker.md says more):
#   docker build -t pixace .
#   docker run --rm --gpus all -v "$(pwd)/vol:/pixace" pixace COMMAND [--flags]
FROM python:3.13-slim-trixie

# What pixace needs, in a layer of its own that changes with the lock file alone.
RUN --mount=type=bind,source=docker/requirements-cuda.lock,target=/requirements.lock \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=cache,target=/var/cache/pip \
    pip install --cache-dir=/var/cache/pip --root-user-action=ignore --disable-pip-version-check \
        --only-binary=:all: --require-hashes --requirement=/requirements.lock

# Everything lies in the volume: model-weights/, images/, results, and in .cache/ tokens and compiled programs.
# A new volume that Docker makes and names belongs to the ordinary user 1000; a folder keeps its owner.
RUN mkdir /pixace && chown 1000:1000 /pixace
ENV HOME=/pixace PYTHONUNBUFFERED=1
WORKDIR /pixace

# pixace itself: no network, a few seconds.
COPY setup.py pyproject.toml /source/
COPY pixace /source/pixace
RUN pip install --no-cache-dir --root-user-action=ignore --disable-pip-version-check \
        --no-index --no-build-isolation --no-deps /source \
    && rm -r /source
COPY docker/entrypoint /usr/local/bin/pixace-entrypoint
ENTRYPOINT ["pixace-entrypoint"]
