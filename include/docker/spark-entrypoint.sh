#!/bin/sh
# What a pod of Spark is: `driver …` or `executor …`, as Spark itself asks; the wheel of pyspark has no such file.
set -eu

# Hadoop asks for the name of the account, and a pod may run as one that no file of the image knows.
if ! getent passwd "$(id -u)" >/dev/null; then
    wrapped=$(mktemp -d)
    export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD="$wrapped/passwd" NSS_WRAPPER_GROUP="$wrapped/group"
    echo "nightshift:x:$(id -u):$(id -g):nightshift:$HOME:/bin/false" >"$NSS_WRAPPER_PASSWD"
    echo "nightshift:x:$(id -g):" >"$NSS_WRAPPER_GROUP"
fi

role=${1:-}
[ $# -eq 0 ] || shift
case $role in
driver)
    exec tini -s -- "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
        --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
        --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" "$@"
    ;;
executor)
    # Spark gives an executor's options for Java one variable each, in order.
    options=$(env | sed -n 's/^SPARK_JAVA_OPT_\([0-9]*\)=/\1 /p' | sort -n | cut -d' ' -f2-)
    # shellcheck disable=SC2086
    exec tini -s -- "$JAVA_HOME/bin/java" $options "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
        -cp "${SPARK_CONF_DIR:-/opt/spark/conf}:${SPARK_CLASSPATH:-}:$SPARK_HOME/jars/*" \
        org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
        --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
        --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
        --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
*)
    echo "usage: driver|executor …, which Spark itself asks for" >&2
    exit 2
    ;;
esac
