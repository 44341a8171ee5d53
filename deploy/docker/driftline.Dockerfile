# All Python processes of Driftline in one image: daemon, retrain worker, Beam workers, label service, traffic.
# Debian trixie has glibc 2.41; the wheels of tensorflow-data-validation and ml-metadata need 2.39.
FROM python:3.11.14-slim-trixie AS build
# pyfarmhash, google-apitools and rouge-score are source packages; the first is C++.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# Hash-locked, without resolving dependencies. The tools that build the source packages are installed first, and build
# isolation is off, so that nothing but what the locks name is fetched. Compiled here once: containers start faster.
COPY deploy/setup/uv.lock ./
RUN python -m venv /uv \
    && /uv/bin/pip install --no-cache-dir --no-deps --require-hashes -r uv.lock
COPY deploy/setup/build.lock requirements.lock ./
RUN export UV_NO_CACHE=1 UV_LINK_MODE=copy VIRTUAL_ENV=/venv \
    && /uv/bin/uv venv --python /usr/local/bin/python /venv \
    && /uv/bin/uv pip sync --require-hashes build.lock \
    && /uv/bin/uv pip sync --require-hashes --no-build-isolation --compile-bytecode requirements.lock
COPY streaming /srv/driftline/streaming
COPY retrain /srv/driftline/retrain
COPY serving /srv/driftline/serving
COPY deploy /srv/driftline/deploy
RUN /venv/bin/python -m compileall -q /srv/driftline

# No compiler, no uv, no package lists.
FROM python:3.11.14-slim-trixie
RUN useradd --uid 10001 --create-home driftline
COPY --from=build /venv /venv
COPY --from=build /srv/driftline /srv/driftline
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/srv/driftline \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    DRIFTLINE_HOME=/state
WORKDIR /srv/driftline
USER 10001
ENTRYPOINT ["python", "-m", "deploy.cli.main"]
CMD ["--help"]
