"""Produces numbers with acks=all, reads them back through a group, in order (kafka-python: no C inside)."""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer

bootstrap, topic, count = sys.argv[1].split(","), sys.argv[2], int(sys.argv[3])
producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", retries=5)
for future in [producer.send(topic, key=b"key", value=str(n).encode()) for n in range(count)]:
    future.get(60)
producer.close()

consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=f"python-{topic}", auto_offset_reset="earliest",
                         enable_auto_commit=False)
got, end = [], time.monotonic() + 60
while len(got) < count and time.monotonic() < end:
    for records in consumer.poll(500).values():
        got += [int(record.value) for record in records]
consumer.commit()
consumer.close()
assert got == list(range(count)), f"got {len(got)} of {count}, or another order: {got[:10]}"
print("ok", len(got))
