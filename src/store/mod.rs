//! What is kept on disk, and who may act on it.

pub mod lease;
