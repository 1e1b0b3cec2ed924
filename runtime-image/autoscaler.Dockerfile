# The autoscaler. From the project's root:
#   docker build -f runtime-image/autoscaler.Dockerfile --build-arg BASE=IMAGE -t dilu-autoscaler:0.1.0 .
# BASE is any image with glibc, Python >= 3.11 with its module venv, useradd, and certificates of authorities.
ARG BASE=docker.io/library/python:3.13-slim

# pip and the build backend stay here. The environment that is shipped has no pip: nothing is installed into it later.
FROM ${BASE} AS tools
COPY runtime-image/requirements/build.txt /build/build.txt
RUN python3 -m venv /build/tools \
    && /build/tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /build/build.txt \
    && python3 -m venv --without-pip /opt/dilu \
    && useradd --uid 65532 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin nonroot

# What we need of others, each file checked by its hash. Made again only when the lock changes.
FROM tools AS dependencies
COPY runtime-image/requirements/autoscaler.txt /build/autoscaler.txt
RUN /build/tools/bin/pip --python /opt/dilu/bin/python install --no-cache-dir --disable-pip-version-check \
    --require-hashes -r /build/autoscaler.txt

# Our own code, beside the dependencies instead of on top of them: a change of it changes one small layer.
FROM tools AS code
COPY pyproject.toml README.md LICENSE /build/source/
COPY sdk /build/source/sdk
COPY kube /build/source/kube
COPY autoscaler /build/source/autoscaler
COPY scheduler-extender /build/source/scheduler-extender
COPY simulator /build/source/simulator
RUN /build/tools/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-index --no-deps --no-build-isolation \
        --wheel-dir /build/wheels /build/source \
    && /build/tools/bin/pip --python /opt/dilu/bin/python install --disable-pip-version-check --no-index --no-deps \
        --root /code /build/wheels/*.whl

# Nothing is run here, so that nothing of the build can stay in what is shipped.
FROM ${BASE}
COPY --from=tools /etc/passwd /etc/group /etc/
COPY --from=dependencies /opt/dilu /opt/dilu
COPY --from=code /code/opt/dilu /opt/dilu
ENV PATH=/opt/dilu/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
# 8080: reports of activators, and the kubelet's probes. 9090: metrics.
EXPOSE 8080 9090
ENTRYPOINT ["dilu"]
CMD ["autoscaler"]
