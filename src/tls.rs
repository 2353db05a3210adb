//! One TLS provider for the whole process: ring.
//!
//! Several clients end in rustls, each with a default of its own, and rustls panics when it cannot tell which one is
//! meant. So the choice is made once, here.

/// Makes ring the provider of this process; the first call counts, every other one changes nothing.
pub fn install() {
    // An Err only says that a provider is installed already, which is what was asked for.
    drop(rustls::crypto::ring::default_provider().install_default());
}
