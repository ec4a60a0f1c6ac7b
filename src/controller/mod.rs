//! The classic controller as a pure machine, and its shell.
