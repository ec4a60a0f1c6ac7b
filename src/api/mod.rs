//! One file per API of the protocol; this table is the list.
