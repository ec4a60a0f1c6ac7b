/* Produces numbers with acks=all, reads them back through a group, in order (librdkafka). */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int failed = 0, delivered = 0;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
  (void)rk, (void)opaque;
  if (message->err) {
    fprintf(stderr, "delivery: %s\n", rd_kafka_err2str(message->err));
    failed = 1;
  } else {
    delivered++;
  }
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
  char error[256];
  if (rd_kafka_conf_set(conf, key, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
    fprintf(stderr, "%s\n", error);
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const char *bootstrap = argv[1], *topic = argv[2];
  int count = atoi(argv[3]);
  char error[256], text[300];

  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", bootstrap);
  set(conf, "acks", "all");
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
  if (!producer) return fprintf(stderr, "%s\n", error), 1;
  for (int i = 0; i < count; i++) {
    snprintf(text, sizeof text, "%d", i);
    rd_kafka_resp_err_t err = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY("key", 3),
                                                RD_KAFKA_V_VALUE(text, strlen(text)),
                                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (err) return fprintf(stderr, "produce: %s\n", rd_kafka_err2str(err)), 1;
  }
  if (rd_kafka_flush(producer, 60000) || failed || delivered != count)
    return fprintf(stderr, "delivered %d of %d\n", delivered, count), 1;
  rd_kafka_destroy(producer);

  conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", bootstrap);
  snprintf(text, sizeof text, "c-%s", topic);
  set(conf, "group.id", text);
  set(conf, "auto.offset.reset", "earliest");
  rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (!consumer) return fprintf(stderr, "%s\n", error), 1;
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
  rd_kafka_subscribe(consumer, topics);
  int next = 0;
  time_t end = time(NULL) + 60;
  while (next < count && time(NULL) < end) {
    rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 500);
    if (!message) continue;
    if (!message->err) {
      snprintf(text, sizeof text, "%d", next);
      if (message->len != strlen(text) || memcmp(message->payload, text, message->len))
        return fprintf(stderr, "got %.*s, want %d\n", (int)message->len, (char *)message->payload, next), 1;
      next++;
    }
    rd_kafka_message_destroy(message);
  }
  rd_kafka_consumer_close(consumer);
  rd_kafka_topic_partition_list_destroy(topics);
  rd_kafka_destroy(consumer);
  if (next != count) return fprintf(stderr, "read %d of %d\n", next, count), 1;
  printf("ok %d\n", next);
  return 0;
}
