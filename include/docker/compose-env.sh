#!/bin/sh
# Makes .env of .env.example, and a file with a random password for each secret that has none; what is there stays.
# compose-env.sh [FOLDER], by default the folder of docker-compose.yaml.
set -eu
cd "${1:-$(dirname "$0")/../..}"
umask 077
# The folder is its owner's alone. The files are not, since containers read them as users of their own.
mkdir -p var/compose-secrets
[ -e .env ] || cp .env.example .env
# What a later version asks for.
for variable in $(sed -n 's/^\([A-Z_]*_FILE\)=$/\1/p' .env.example); do
    grep -q "^$variable=" .env || echo "$variable=" >>.env
done
for variable in $(sed -n 's/^\([A-Z_]*_FILE\)=$/\1/p' .env); do
    file=var/compose-secrets/$(echo "${variable%_FILE}" | tr 'A-Z_' 'a-z-')
    [ -s "$file" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file"
    chmod 644 "$file"
    sed "s|^$variable=\$|$variable=./$file|" .env >.env.new
    mv .env.new .env
done
echo ".env and the files that it names are there"
