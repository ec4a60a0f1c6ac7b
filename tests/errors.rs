//! The error codes are those of Kafka 3.9.1.

use barnabas::error::ErrorCode;

#[test]
fn error_codes_are_kafkas() {
    let golden: Vec<&str> =
        include_str!("golden/wire/errors.tsv").lines().filter(|line| !line.starts_with('#')).collect();
    let ours: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|error| format!("{}\t{}\t{}", error.code(), error.name(), error.retriable()))
        .collect();
    assert_eq!(ours, golden);
    for error in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(error.code()), *error);
    }
    assert_eq!(ErrorCode::from_code(9999), ErrorCode::UnknownServerError);
}
