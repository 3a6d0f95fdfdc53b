#!/bin/sh
# Becomes the object store of docker-compose.yaml: object-store.sh [OBJECTS [SECRETS [ADDRESS]]].
# A folder is a bucket. `nightshift` owns everything; what `upstream` may do is the bucket's policy, which airflow-init writes.
# The gateway takes keys from its environment and from a file alone, which nothing outside sees.
set -eu
objects=${1:-/objects} secrets=${2:-/run/secrets} address=${3:-:7070}
upstream=$(cat "$secrets/upstream_key")
case $upstream in
'' | *[!A-Za-z0-9_./+=-]*)
    echo "upstream_key: the key of upstream systems is empty or has other characters. Allowed: A-Z a-z 0-9 _ . / + = -" >&2
    exit 1
    ;;
esac
accounts=$(mktemp -d)
(umask 077 && printf '{"accessAccounts":{"upstream":{"access":"upstream","secret":"%s","role":"user"}}}' "$upstream" >"$accounts/users.json")
mkdir -p "$objects/nightshift"
ROOT_ACCESS_KEY=nightshift ROOT_SECRET_KEY=$(cat "$secrets/object_store_key")
export ROOT_ACCESS_KEY ROOT_SECRET_KEY
exec versitygw --port "$address" --health /health --iam-dir "$accounts" posix "$objects"
