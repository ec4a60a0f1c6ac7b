#!/usr/bin/env bash
# Kafka's bin/kafka-run-class.sh for the classes whose work Barnabas does itself, without Java:
#   scripts/kafka-run-class.sh kafka.tools.DumpLogSegments --deep-iteration --files FILE,FILE
# The program is $BARNABAS_BIN, else the release build, else the one on the PATH.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
if [ $# -eq 0 ]; then
  echo "usage: $0 CLASS [ARGUMENT...]" >&2
  exit 1
fi
class=$1
shift
case $class in
  kafka.tools.DumpLogSegments) command=(dump-log) ;;
  kafka.Kafka) command=(server) ;;
  *)
    echo "$0: $class is not known here. There are: kafka.tools.DumpLogSegments, kafka.Kafka." >&2
    echo "Tools that talk to a running broker work with it as they are: use those of a Kafka release." >&2
    exit 1 ;;
esac
program=${BARNABAS_BIN:-${CARGO_TARGET_DIR:-$here/../target}/release/barnabas}
if [ ! -x "$program" ]; then
  program=$(command -v barnabas) || {
    echo "$0: barnabas is not built. Run: cargo build --release" >&2
    exit 1
  }
fi
exec "$program" "${command[@]}" "$@"
