FROM python:3.11-slim AS build

WORKDIR /build
RUN python -m venv /opt/slipstream
COPY requirements-runtime.lock .
RUN /opt/slipstream/bin/pip install --no-cache-dir --require-hashes --requirement requirements-runtime.lock
COPY LICENSE pyproject.toml ./
COPY service service
# What builds the package is locked too, and stays behind.
RUN /opt/slipstream/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/slipstream/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim

COPY --from=build /opt/slipstream /opt/slipstream
ENV PATH=/opt/slipstream/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080 8081
ENTRYPOINT ["slipstream"]
CMD ["edge"]
