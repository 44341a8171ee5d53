# Entry point of the Flink containers: `bash flink.sh jobmanager|taskmanager`.
# The image's own entry point writes FLINK_PROPERTIES into its folder of settings. The root is read-only, so it is given
# a home in memory: a copy of the settings, and links to the rest.
set -eu
home=/run/flink
mkdir -p "$home/log"
cp -R /opt/flink/conf "$home/"
for folder in bin lib opt plugins; do
    ln -sfn "/opt/flink/$folder" "$home/$folder"
done
export FLINK_HOME=$home FLINK_CONF_DIR=$home/conf FLINK_LOG_DIR=$home/log
exec /docker-entrypoint.sh "$@"
