//! The answers of DescribeConfigs.
