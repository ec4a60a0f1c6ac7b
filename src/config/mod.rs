//! Settings: every key that Kafka lists, declared once.
