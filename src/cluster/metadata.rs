//! The image of the cluster that the controller spreads by UpdateMetadata.
