// Produces numbers with acks=all, reads them back through a group, in order (kafkajs).
const { Kafka, logLevel } = require("kafkajs");

async function main([bootstrap, topic, count]) {
  count = Number(count);
  const kafka = new Kafka({ clientId: "node", brokers: bootstrap.split(","), logLevel: logLevel.ERROR });
  const producer = kafka.producer({ idempotent: true });
  await producer.connect();
  const messages = Array.from({ length: count }, (_, i) => ({ key: "key", value: String(i) }));
  await producer.send({ topic, acks: -1, messages });
  await producer.disconnect();

  const consumer = kafka.consumer({ groupId: "node-" + topic });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  let next = 0;
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${next} of ${count} in 60 s`)), 60000).unref();
    consumer.run({
      eachMessage: async ({ message }) => {
        if (message.value.toString() !== String(next)) reject(new Error(`got ${message.value}, want ${next}`));
        if (++next === count) resolve();
      },
    }).catch(reject);
  });
  await consumer.disconnect();
  console.log("ok", next);
}

main(process.argv.slice(2)).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
