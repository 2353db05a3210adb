//! How an account of AWS is reached: where, by whose rights, and how patiently. No key of any kind is part of it.

use std::{fmt, path::PathBuf};

use crate::units::Span;

/// One account in one region, and by whose rights.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// Its name in the configuration.
    pub name: String,
    /// Which region.
    pub region: String,
    /// A profile of the credentials file; the SDK's own order of places where neither it nor the file is said.
    pub profile: Option<String>,
    /// A file of profiles, instead of the one in the user's home.
    pub credentials_file: Option<PathBuf>,
    /// Whose rights are taken on.
    pub role: Option<Role>,
    /// Where all its services are asked, instead of at AWS: an endpoint of a private network, or a server for tests.
    pub endpoint: Option<String>,
    /// Authorities that are trusted beside those of this machine, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// How long a connection may take.
    pub connect_timeout: Span,
    /// How long one attempt may take.
    pub attempt_timeout: Span,
    /// How long a question may take with all its attempts.
    pub operation_timeout: Span,
    /// So often a question is asked when it fails in passing. What changes something is asked once: its step has attempts of its own.
    pub attempts: u32,
}

/// A role, and as whom it is taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// `arn:aws:iam::ACCOUNT:role/NAME`.
    pub arn: String,
    /// What the account asks for where it trusts somebody else's.
    pub external_id: Option<String>,
    /// By this name CloudTrail knows who did it.
    pub session_name: String,
}

impl Access {
    /// How long a connection may take, unless told.
    pub const CONNECT: Span = Span::seconds(3);
    /// How long one attempt may take, unless told.
    pub const ATTEMPT: Span = Span::seconds(10);
    /// How long all of them may, unless told.
    pub const OPERATION: Span = Span::seconds(30);
    /// How many there are, unless told.
    pub const ATTEMPTS: u32 = 3;
    /// Who rollbackd is to CloudTrail, unless told.
    pub const SESSION: &str = "rollbackd";

    /// With everything as usual.
    pub fn new(name: &str, region: &str) -> Self {
        Self {
            name: name.to_owned(),
            region: region.to_owned(),
            profile: None,
            credentials_file: None,
            role: None,
            endpoint: None,
            ca_pem: None,
            connect_timeout: Self::CONNECT,
            attempt_timeout: Self::ATTEMPT,
            operation_timeout: Self::OPERATION,
            attempts: Self::ATTEMPTS,
        }
    }

    /// Where credentials are looked for, for people.
    pub fn credentials(&self) -> String {
        let file = self.credentials_file.as_ref().map(|path| format!(" of {}", path.display()));
        let file = file.unwrap_or_default();
        let own = match (&self.profile, &self.credentials_file) {
            (None, None) => {
                "those of the environment, a profile, a service account's token or the machine's role"
                    .to_owned()
            }
            (None, Some(_)) => format!("the profile `default`{file}"),
            (Some(profile), _) => format!("the profile `{profile}`{file}"),
        };
        match &self.role {
            Some(role) => format!("the role {}, taken on with {own}", role.arn),
            None => own,
        }
    }

    /// For people.
    pub fn place(&self) -> String {
        format!("aws {} ({})", self.name, self.region)
    }
}

/// Whom AWS takes us for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number of the account.
    pub account: String,
    /// Who asks there.
    pub arn: String,
}

/// Certificates are long.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificates = self.ca_pem.as_ref().map(Vec::len);
        f.debug_struct("Access")
            .field("name", &self.name)
            .field("region", &self.region)
            .field("profile", &self.profile)
            .field("credentials_file", &self.credentials_file)
            .field("role", &self.role)
            .field("endpoint", &self.endpoint)
            .field("ca_pem_bytes", &certificates)
            .field("connect_timeout", &self.connect_timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("operation_timeout", &self.operation_timeout)
            .field("attempts", &self.attempts)
            .finish()
    }
}

/// What is wrong with a region's name, as `eu-central-1` is one. New ones need no new version of this.
pub fn check_region(region: &str) -> Result<(), String> {
    let parts: Vec<&str> = region.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        [words @ .., number]
            if words.len() >= 2 && words.iter().all(is_word) && is_number(number) =>
        {
            Ok(())
        }
        _ => Err(format!("`{region}` is not a region of AWS")),
    }
}

/// What is wrong with the name of a role.
pub fn check_role(arn: &str) -> Result<(), String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let is_account = |part: &str| part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, role]
            if partition.starts_with("aws")
                && is_account(account)
                && role.len() > 5
                && role.starts_with("role/") =>
        {
            Ok(())
        }
        _ => Err(format!("`{arn}` is not the ARN of a role")),
    }
}

/// What is wrong with the name of a session or an external id, as STS takes them.
pub fn check_session(text: &str, length_max: usize) -> Result<(), String> {
    let may_be = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-:/".contains(c);
    match text.chars().find(|c| !may_be(*c)) {
        Some(odd) => Err(format!("{odd:?} cannot stand in it")),
        None if (2..=length_max).contains(&text.len()) => Ok(()),
        None => Err(format!("it has {} characters; 2 to {length_max} are taken", text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_roles_are_known_by_their_form() {
        for region in ["eu-central-1", "us-gov-west-1", "ap-southeast-12"] {
            assert_eq!(check_region(region), Ok(()));
        }
        for region in
            ["", "eu", "eu-central", "eu-central-1a", "EU-CENTRAL-1", "eu--1", "Frankfurt"]
        {
            assert!(check_region(region).is_err(), "{region}");
        }
        assert_eq!(check_role("arn:aws:iam::123456789012:role/rollbackd"), Ok(()));
        assert_eq!(check_role("arn:aws-cn:iam::123456789012:role/path/rollbackd"), Ok(()));
        for arn in [
            "rollbackd",
            "arn:aws:iam::1:role/x",
            "arn:aws:iam::123456789012:user/x",
            "arn:aws:iam::123456789012:role/",
        ] {
            assert!(check_role(arn).is_err(), "{arn}");
        }
        assert_eq!(check_session("rollbackd@host-1", 64), Ok(()));
        assert!(check_session("a b", 64).unwrap_err().contains("' '"));
        assert!(check_session("a", 64).unwrap_err().contains("2 to 64"));
    }
}
