#!/usr/bin/env bash
# As the official entry point: FLINK_PROPERTIES go into the folder of settings below FLINK_HOME, by Flink's own program;
# each is cut at the first colon and loses its white space.
conf=$FLINK_HOME/conf
utils() {
    /opt/java/bin/java -cp "$FLINK_HOME/bin/bash-java-utils.jar:$(echo "$FLINK_HOME"/lib/*.jar | tr ' ' :)" \
        org.apache.flink.runtime.util.bash.BashJavaUtils "$@" | sed -n 's/^BASH_JAVA_UTILS_EXEC_RESULT://p'
}
options=(-Djobmanager.rpc.address="${JOB_MANAGER_RPC_ADDRESS:-$(hostname)}" -Dblob.server.port=6124)
while IFS= read -r property; do
    property=$(echo "$property" | tr -d '[:space:]')
    [ -z "$property" ] || options+=("-D${property%%:*}=${property#*:}")
done <<<"${FLINK_PROPERTIES:-}"
settings=$(utils UPDATE_AND_GET_FLINK_CONFIGURATION --configDir "$conf" "${options[@]}") || exit 1
echo "$settings" >"$conf/config.yaml" || exit 1
drop=()
[ "$(id -u)" != 0 ] || drop=(gosu flink)
export FLINK_CONF_DIR=${FLINK_CONF_DIR:-/opt/flink/conf} FLINK_PLUGINS_DIR=/opt/flink/plugins FLINK_LIB_DIR=/opt/flink/lib
log=${FLINK_LOG_DIR:-/opt/flink/log}
case "$1" in
jobmanager) what=JM class=org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint ;;
taskmanager) what=TM class=org.apache.flink.runtime.taskexecutor.TaskManagerRunner ;;
*) exec "${drop[@]}" "$@" ;;
esac
mapfile -t parameters < <(utils GET_${what}_RESOURCE_PARAMS --configDir "$FLINK_CONF_DIR")
opens=()
for name in java.base/{sun.net.util,java.lang,java.net,java.io,java.nio,sun.nio.ch,java.lang.reflect,java.text,java.time} \
    java.base/java.util{,.concurrent,.concurrent.atomic,.concurrent.locks}; do
    opens+=("--add-opens=$name=ALL-UNNAMED")
done
# shellcheck disable=SC2086
exec "${drop[@]}" /opt/java/bin/java ${parameters[0]} "${opens[@]}" -Dlog.file="$log/flink-$1.log" \
    -Dlog4j.configurationFile="file:$FLINK_CONF_DIR/log4j-console.properties" -cp "/opt/flink/lib/*" \
    "$class" --configDir "$FLINK_CONF_DIR" ${parameters[1]-}
