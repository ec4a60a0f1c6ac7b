import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.*;

/** Produces numbers with acks=all (idempotent, each codec in turn), reads them back through a group, in order. */
public class RoundTrip {
  public static void main(String[] args) throws Exception {
    String bootstrap = args[0], topic = args[1];
    int count = Integer.parseInt(args[2]);
    String[] codecs = {"none", "gzip", "snappy", "lz4", "zstd"};
    for (int c = 0; c < codecs.length; c++) {
      Properties p = new Properties();
      p.put("bootstrap.servers", bootstrap);
      p.put("acks", "all");
      p.put("compression.type", codecs[c]);
      try (Producer<String, String> producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
        List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
        for (int i = 0; i < count; i++) {
          ProducerRecord<String, String> record = new ProducerRecord<>(topic, "key", codecs[c] + "-" + i);
          record.headers().add("codec", codecs[c].getBytes());
          sent.add(producer.send(record));
        }
        for (var one : sent) one.get();
      }
    }
    Properties c = new Properties();
    c.put("bootstrap.servers", bootstrap);
    c.put("group.id", "java-" + topic);
    c.put("auto.offset.reset", "earliest");
    List<String> got = new ArrayList<>();
    try (Consumer<String, String> consumer = new KafkaConsumer<>(c, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(List.of(topic));
      long end = System.currentTimeMillis() + 60000;
      while (got.size() < count * codecs.length && System.currentTimeMillis() < end)
        for (var record : consumer.poll(Duration.ofMillis(500))) {
          got.add(record.value());
          if (!new String(record.headers().lastHeader("codec").value()).equals(record.value().split("-")[0]))
            throw new AssertionError("header of " + record);
        }
      consumer.commitSync();
    }
    List<String> want = new ArrayList<>();
    for (String codec : codecs) for (int i = 0; i < count; i++) want.add(codec + "-" + i);
    if (!got.equals(want)) throw new AssertionError("got " + got.size() + " of " + want.size() + " records, or another order");
    System.out.println("ok " + got.size());
  }
}
