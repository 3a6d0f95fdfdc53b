#!/bin/sh
# Prepares the cluster for scoring pods, and writes a kubeconfig of Airflow's account. Each start renews its token.
# account.sh KUBECONFIG-OF-AN-ADMIN SERVER NAMESPACE-FOLDER STORAGE-FILE OUT
set -eu
admin=$1 server=$2 namespace=$3 storage=$4 out=$5
run() { kubectl --kubeconfig "$admin" --server "$server" "$@"; }

run apply -k "$namespace" >&2
run apply -f "$storage" >&2
authority=$(run config view --raw --flatten --minify -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}')
token=$(run -n nightshift create token nightshift-airflow --duration=720h)
umask 077
cat >"$out.new" <<END
apiVersion: v1
kind: Config
clusters: [{name: k3s, cluster: {server: "$server", certificate-authority-data: $authority}}]
users: [{name: nightshift-airflow, user: {token: $token}}]
contexts: [{name: k3s, context: {cluster: k3s, namespace: nightshift, user: nightshift-airflow}}]
current-context: k3s
END
chown 10001:10001 "$out.new"
mv "$out.new" "$out"
