//! A real ensemble behind the vocabulary.
