#!/usr/bin/env bash
# Kafka's bin/kafka-dump-log.sh: prints files of a log directory. Needs no running broker and no Java.
exec "$(dirname "${BASH_SOURCE[0]}")/kafka-run-class.sh" kafka.tools.DumpLogSegments "$@"
