exec /opt/java/bin/java -cp 'jars/*' org.apache.beam.runners.flink.FlinkJobServerDriver "$@"
