// Produces numbers with acks=all, reads them back through a group, in order (franz-go).
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func fail(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func main() {
	seeds, topic := strings.Split(os.Args[1], ","), os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	fail(err)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	producer, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.RequiredAcks(kgo.AllISRAcks()))
	fail(err)
	var records []*kgo.Record
	for i := 0; i < count; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte("key"), Value: []byte(strconv.Itoa(i))})
	}
	fail(producer.ProduceSync(ctx, records...).FirstErr())
	producer.Close()

	consumer, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumerGroup("go-"+topic), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	fail(err)
	next := 0
	for next < count {
		fetches := consumer.PollFetches(ctx)
		fail(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) != strconv.Itoa(next) {
				fail(fmt.Errorf("got %s, want %d", r.Value, next))
			}
			next++
		})
	}
	fail(consumer.CommitUncommittedOffsets(ctx))
	consumer.Close()
	fmt.Println("ok", next)
}
