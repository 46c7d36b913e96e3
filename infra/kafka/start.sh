#!/bin/sh
# Formats the data folder the first time, then becomes the broker. Arguments are the broker's own, such as
#   --override advertised.listeners=INTERNAL://kafka:9092,EXTERNAL://127.0.0.1:9092
# Nothing is written but the data: so it runs on a read-only root, and again after any kind of end.
set -eu
here=/etc/tds-kafka
options="-cp /opt/kafka/libs/* -Dlog4j2.configurationFile=$here/log4j2.yaml -Djava.awt.headless=true"
set -f # the JVM, not the shell, reads the star
java -Xmx128m $options kafka.tools.StorageTool format \
  --ignore-formatted --cluster-id "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" --config $here/server.properties
exec java ${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m} -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError \
  $options kafka.Kafka $here/server.properties "$@"
