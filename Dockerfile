# One image for web and worker; the command decides which. Build: docker build -t holdfast .
FROM python:3.12-slim AS build
COPY requirements.lock /tmp/
RUN python -m venv /opt/holdfast \
 && /opt/holdfast/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/holdfast holdfast \
 && install -d -o holdfast /var/lib/holdfast/datasets
COPY --from=build /opt/holdfast /opt/holdfast
COPY manage.py /srv/holdfast/
COPY config /srv/holdfast/config
COPY incidents /srv/holdfast/incidents
COPY playbooks /srv/holdfast/playbooks
COPY integrations /srv/holdfast/integrations
COPY docs/integrations /srv/holdfast/docs/integrations
ENV PATH=/opt/holdfast/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOLDFAST_DATA=/var/lib/holdfast HOLDFAST_LOG_FORMAT=json
WORKDIR /srv/holdfast
USER holdfast
VOLUME /var/lib/holdfast
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=40s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["python", "manage.py", "up", "--host", "0.0.0.0"]
