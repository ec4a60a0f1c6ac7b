import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

/**
 * Transactions by the Java client. `basics BOOTSTRAP TOPIC ID`: commit, abort, offsets in transactions, fencing, time-outs.
 * `copy BOOTSTRAP FROM TO ID COUNT`: copies COUNT numbers exactly once, through any failure, aborting now and then.
 */
public class Transactions {
  static String bootstrap;

  public static void main(String[] args) throws Exception {
    bootstrap = args[1];
    if (args[0].equals("basics")) basics(args[2], args[3]);
    else copy(args[2], args[3], args[4], Integer.parseInt(args[5]));
    System.out.println("ok");
  }

  static KafkaProducer<String, String> producer(String id, int timeoutMs) {
    Properties p = new Properties();
    p.put("bootstrap.servers", bootstrap);
    p.put("transactional.id", id);
    p.put("transaction.timeout.ms", timeoutMs);
    p.put("linger.ms", 0);
    return new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
  }

  static KafkaConsumer<String, String> consumer(String group, String isolation) {
    Properties c = new Properties();
    c.put("bootstrap.servers", bootstrap);
    c.put("group.id", group);
    c.put("enable.auto.commit", "false");
    c.put("auto.offset.reset", "earliest");
    c.put("isolation.level", isolation);
    c.put("max.poll.records", 50);
    return new KafkaConsumer<>(c, new StringDeserializer(), new StringDeserializer());
  }

  static void send(KafkaProducer<String, String> producer, String topic, String... values) {
    for (String value : values) producer.send(new ProducerRecord<>(topic, value));
  }

  /** All that a reader sees up to the end that it is told. */
  static List<String> read(String topic, String isolation) {
    List<String> got = new ArrayList<>();
    try (var consumer = consumer("reader", isolation)) {
      List<TopicPartition> partitions = new ArrayList<>();
      for (var info : consumer.partitionsFor(topic)) partitions.add(new TopicPartition(topic, info.partition()));
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      var ends = consumer.endOffsets(partitions);
      long limit = System.currentTimeMillis() + 30000;
      while (partitions.stream().anyMatch(tp -> consumer.position(tp) < ends.get(tp))) {
        if (System.currentTimeMillis() > limit) throw new AssertionError("no end in sight of " + topic);
        for (var record : consumer.poll(Duration.ofMillis(200))) got.add(record.value());
      }
    }
    return got;
  }

  static void check(Object expected, Object got, String what) {
    if (!expected.equals(got)) throw new AssertionError(what + ": expected " + expected + ", got " + got);
  }

  interface Step { void run() throws Exception; }

  static void mustFail(Class<? extends Throwable> error, String what, Step step) throws Exception {
    try {
      step.run();
    } catch (Throwable thrown) {
      for (Throwable t = thrown; t != null; t = t.getCause()) if (error.isInstance(t)) return;
      throw new AssertionError(what + ": wrong error", thrown);
    }
    throw new AssertionError(what + ": no error");
  }

  static void basics(String topic, String id) throws Exception {
    var first = producer(id, 60000);
    first.initTransactions();
    first.beginTransaction();
    send(first, topic, "a1", "a2");
    first.commitTransaction();
    first.beginTransaction();
    send(first, topic, "x1", "x2");
    first.flush();
    check(List.of("a1", "a2"), read(topic, "read_committed"), "an open transaction is not seen");
    check(List.of("a1", "a2", "x1", "x2"), read(topic, "read_uncommitted"), "an open transaction, uncommitted");
    first.abortTransaction();
    first.beginTransaction();
    send(first, topic, "b1");
    first.commitTransaction();
    awaitCommitted(topic, List.of("a1", "a2", "b1"));
    check(List.of("a1", "a2", "x1", "x2", "b1"), read(topic, "read_uncommitted"), "everything");

    // Offsets in transactions.
    var tp = new TopicPartition(topic, 0);
    String group = "group-" + id;
    try (var consumer = consumer(group, "read_committed")) {
      consumer.subscribe(List.of(topic));
      int seen = 0;
      while (seen < 3) seen += consumer.poll(Duration.ofMillis(200)).count();
      first.beginTransaction();
      first.sendOffsetsToTransaction(Map.of(tp, new OffsetAndMetadata(2, "two")), consumer.groupMetadata());
      first.commitTransaction();
      check(2L, consumer.committed(Set.of(tp)).get(tp).offset(), "offset of a committed transaction");
      first.beginTransaction();
      first.sendOffsetsToTransaction(Map.of(tp, new OffsetAndMetadata(5)), consumer.groupMetadata());
      first.abortTransaction();
      check(2L, consumer.committed(Set.of(tp)).get(tp).offset(), "offset of an aborted transaction");
    }

    // What an administrator sees of an open transaction.
    first.beginTransaction();
    send(first, topic, "y1");
    first.flush();
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      var description = admin.describeTransactions(List.of(id)).description(id).get();
      check("Ongoing", description.state().toString(), "state");
      check(Set.of(tp), description.topicPartitions(), "partitions");
      var listed = admin.listTransactions().all().get();
      check(1L, listed.stream().filter(t -> t.transactionalId().equals(id)).count(), "listed");
      var producers = admin.describeProducers(List.of(tp)).partitionResult(tp).get().activeProducers();
      check(1L, producers.stream().filter(p -> p.currentTransactionStartOffset().isPresent()).count(), "open in the log");
    }

    // A second producer fences the first, whose transaction is aborted.
    var second = producer(id, 60000);
    second.initTransactions();
    mustFail(ProducerFencedException.class, "the zombie commits", first::commitTransaction);
    first.close(Duration.ZERO);
    second.beginTransaction();
    send(second, topic, "c1");
    second.commitTransaction();
    awaitCommitted(topic, List.of("a1", "a2", "b1", "c1"));
    second.close();

    // A transaction that takes too long is aborted by the coordinator.
    var slow = producer(id + "-slow", 1000);
    slow.initTransactions();
    slow.beginTransaction();
    send(slow, topic, "s1");
    slow.flush();
    long limit = System.currentTimeMillis() + 30000;
    while (!lastSeen(topic).equals("c1+")) {
      if (System.currentTimeMillis() > limit) throw new AssertionError("the slow transaction was not aborted");
      Thread.sleep(100);
    }
    mustFail(KafkaException.class, "the slow one commits", slow::commitTransaction);
    slow.close(Duration.ZERO);
  }

  /** Markers follow the answer to EndTxn after a moment. */
  static void awaitCommitted(String topic, List<String> expected) throws Exception {
    long limit = System.currentTimeMillis() + 10000;
    while (!read(topic, "read_committed").equals(expected)) {
      if (System.currentTimeMillis() > limit) check(expected, read(topic, "read_committed"), "committed");
      Thread.sleep(20);
    }
  }

  /** The last committed value, with "+" if nothing holds readers back. */
  static String lastSeen(String topic) {
    var committed = read(topic, "read_committed");
    try (var c = consumer("ends", "read_committed"); var u = consumer("ends", "read_uncommitted")) {
      var tp = List.of(new TopicPartition(topic, 0));
      boolean stable = c.endOffsets(tp).equals(u.endOffsets(tp));
      return committed.get(committed.size() - 1) + (stable ? "+" : "");
    }
  }

  static void copy(String from, String to, String id, int count) throws Exception {
    String group = "copy-" + id;
    Random random = new Random(7);
    long limit = System.currentTimeMillis() + 240000;
    int committed = 0, aborted = 0, restarted = 0;
    while (true) {
      if (System.currentTimeMillis() > limit) throw new AssertionError("out of time, committed " + committed);
      try (var consumer = consumer(group, "read_committed"); var producer = producer(id, 30000)) {
        producer.initTransactions();
        consumer.subscribe(List.of(from));
        int idle = 0;
        while (idle < 60) {
          if (System.currentTimeMillis() > limit) throw new AssertionError("out of time, committed " + committed);
          var records = consumer.poll(Duration.ofMillis(200));
          if (records.isEmpty()) {
            idle++;
            if (done(consumer, from, count)) {
              System.out.println("transactions " + committed + ", aborted " + aborted + ", restarted " + restarted);
              return;
            }
            continue;
          }
          idle = 0;
          Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
          producer.beginTransaction();
          for (var record : records) {
            producer.send(new ProducerRecord<>(to, record.value(), record.value()));
            offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
          }
          producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
          if (random.nextInt(5) == 0) {
            producer.abortTransaction();
            aborted++;
            for (var tp : offsets.keySet()) {
              var at = consumer.committed(Set.of(tp)).get(tp);
              consumer.seek(tp, at == null ? 0 : at.offset());
            }
          } else {
            producer.commitTransaction();
            committed++;
          }
        }
      } catch (KafkaException e) {
        restarted++;
        System.out.println("starting again after " + e);
      }
    }
  }

  /** Is everything committed? */
  static boolean done(KafkaConsumer<String, String> consumer, String topic, int count) {
    Set<TopicPartition> partitions = new HashSet<>();
    for (var info : consumer.partitionsFor(topic)) partitions.add(new TopicPartition(topic, info.partition()));
    long sum = 0;
    for (var at : consumer.committed(partitions).values()) sum += at == null ? 0 : at.offset();
    return sum >= count;
  }
}
