//! The pages about settings.
