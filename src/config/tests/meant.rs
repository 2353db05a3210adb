//! What a file that is right becomes.
