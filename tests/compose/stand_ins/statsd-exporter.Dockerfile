# Stands in for prom/statsd-exporter: the same program of the same version, built from the Go module; Debian instead of Busybox.
FROM python:3.12-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
COPY statsd_exporter /bin/
ENTRYPOINT ["/bin/statsd_exporter"]
