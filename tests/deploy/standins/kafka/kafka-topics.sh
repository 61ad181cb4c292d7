#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
class_path=$(echo /opt/kafka/libs/*.jar | tr ' ' :)
# shellcheck disable=SC2086 # several options
exec java $KAFKA_HEAP_OPTS -XX:TieredStopAtLevel=1 -cp "$class_path" org.apache.kafka.tools.TopicCommand "$@"
