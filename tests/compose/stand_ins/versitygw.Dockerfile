# Stands in for versity/versitygw: the same program of the same version, built from the Go module; Debian instead of Alpine.
FROM python:3.12-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
COPY versitygw /usr/local/bin/
ENTRYPOINT ["versitygw"]
