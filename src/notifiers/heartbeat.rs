//! The sign of life to an outside monitor, which calls people when it stays away.
//!
//! A ping says that the whole daemon is well, so whoever sends it asks the event loop first.

use reqwest::Client;

use super::{DeliveryError, http};
use crate::units::{Secret, Span};

/// Where to ping, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Asked with GET, as the usual monitors expect; a credential.
    pub url: Secret,
    /// The time between two pings; the monitor's own patience should be about three of it.
    pub every: Span,
}

impl Heartbeat {
    /// Pings once, within [`http::TOTAL`] and before the next ping is due. Any 2xx is a success.
    ///
    /// A failed ping is not repeated: the next one comes soon enough, and the monitor waits for several.
    pub async fn ping(&self, client: &Client) -> Result<(), DeliveryError> {
        let url = http::url(&self.url).map_err(DeliveryError::refused)?;
        http::tell(client.get(url), self.deadline()).await
    }

    /// Everything that would make each ping fail.
    pub fn problems(&self) -> Vec<String> {
        http::url(&self.url)
            .err()
            .into_iter()
            .chain((self.every < Span::seconds(1)).then(|| "it pings too often".to_owned()))
            .collect()
    }

    fn deadline(&self) -> Span {
        self.every.min(http::TOTAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_over_before_the_next_one_is_due() {
        let every = |every| Heartbeat { url: Secret::new("https://beat.example/x"), every };
        assert_eq!(every(Span::seconds(3)).deadline(), Span::seconds(3));
        assert_eq!(every(Span::minutes(5)).deadline(), http::TOTAL);
        assert!(every(Span::minutes(1)).problems().is_empty());
        assert_eq!(every(Span::ZERO).problems(), ["it pings too often"]);
    }
}
