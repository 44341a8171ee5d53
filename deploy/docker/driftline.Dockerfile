# All Python processes of Driftline in one image: daemon, retrain worker, Beam workers, label service, traffic.
# Debian trixie has glibc 2.41; the wheels of tensorflow-data-validation and ml-metadata need 2.39.
FROM python:3.11.14-slim-trixie AS build
WORKDIR /build
COPY requirements.lock .
# Hash-locked, without resolving dependencies. Compiled here once, so that containers start faster.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --no-compile --no-deps --require-hashes -r requirements.lock \
    # exit code 1: a few packages contain templates that are not valid Python
    && { /venv/bin/python -m compileall -q -j 0 /venv/lib/python3.11/site-packages || test $? -eq 1; }
COPY streaming /srv/driftline/streaming
COPY retrain /srv/driftline/retrain
COPY serving /srv/driftline/serving
COPY deploy /srv/driftline/deploy
RUN /venv/bin/python -m compileall -q /srv/driftline

FROM python:3.11.14-slim-trixie
RUN useradd --uid 10001 --create-home driftline
COPY --from=build /venv /venv
COPY --from=build /srv/driftline /srv/driftline
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/srv/driftline \
    PYTHONUNBUFFERED=1 \
    DRIFTLINE_HOME=/state
WORKDIR /srv/driftline
USER 10001
ENTRYPOINT ["python", "-m", "deploy.cli.main"]
CMD ["--help"]
