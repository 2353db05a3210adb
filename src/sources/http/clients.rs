//! Clients that sources share: each has its own TLS roots and its own kept connections, which is megabytes and
//! milliseconds. A fleet of which all are asked in one way needs one.

use std::{collections::HashMap, sync::Arc};

use super::{CannotBuild, Client, Options};

/// The clients that were built, by what they were built with.
#[derive(Debug, Default)]
pub struct Clients(HashMap<Arc<Options>, Client>);

impl Clients {
    /// The client with these options, built if there is none yet.
    pub fn of(&mut self, options: &Options) -> Result<Client, CannotBuild> {
        if let Some(client) = self.0.get(options) {
            return Ok(client.clone());
        }
        let client = Client::new(options.clone())?;
        self.0.insert(Arc::clone(&client.options), client.clone());
        Ok(client)
    }

    /// Lets go of those that nobody has any more, so that credentials that come and go leave nothing behind.
    pub fn let_go_unused(&mut self) {
        // One is the key's, one the client's own.
        self.0.retain(|options, _| Arc::strong_count(options) > 2);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sources::http::Auth, units::Secret};

    #[test]
    fn equal_options_share_a_client_until_nobody_has_it() {
        let mut clients = Clients::default();
        let with = |token: &str| Options {
            auth: Some(Auth::Bearer(Secret::new(token))),
            ..Options::default()
        };
        let (one, same) = (clients.of(&with("a")).unwrap(), clients.of(&with("a")).unwrap());
        assert!(Arc::ptr_eq(&one.options, &same.options));
        let other = clients.of(&with("b")).unwrap();
        assert_eq!(other.options().auth, with("b").auth, "a credential is nobody else's");
        drop((one, other));
        clients.let_go_unused();
        assert_eq!(clients.count(), 1);
        drop(same);
        clients.let_go_unused();
        assert_eq!(clients.count(), 0);
    }
}
