# Stands in for prom/prometheus 3: Debian's 2.42, which reads the same configuration.
FROM python:3.12-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus wget && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65534 -g 65534 /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
