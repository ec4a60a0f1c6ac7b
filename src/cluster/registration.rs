//! Registration of this broker under `/brokers/ids`.
