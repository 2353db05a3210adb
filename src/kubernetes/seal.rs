//! What a Secret held, so that only whoever has the operator's key can read it. Nothing here can be printed.

use std::fmt;

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};

use crate::{domain::plan::hex, units};

/// How long a key is.
const KEY_BYTES: usize = 32;

/// Whether Secrets are looked at, and what is kept of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Secrets {
    /// Nobody looks at them.
    #[default]
    Off,
    /// They are known by their hash, and nothing is kept.
    Hash,
    /// The same, and what they hold is kept, encrypted by this key.
    Encrypted(Key),
}

impl Secrets {
    /// Whether they are watched.
    pub fn are_watched(&self) -> bool {
        match self {
            Self::Off => false,
            Self::Hash | Self::Encrypted(_) => true,
        }
    }

    /// By what they are kept, where they are.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Off | Self::Hash => None,
            Self::Encrypted(key) => Some(key),
        }
    }
}

/// A key, which cannot be printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key([u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

impl Key {
    /// From its 32 bytes in base64 or in hexadecimal digits; why it is none otherwise, without what stands there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = match text.len() {
            64 => unhex(text),
            _ => units::base64(text),
        };
        let bytes = bytes.ok_or("it is neither base64 nor hexadecimal digits")?;
        let bytes: [u8; KEY_BYTES] = bytes
            .try_into()
            .map_err(|bytes: Vec<u8>| format!("it is {} bytes long, and not 32", bytes.len()))?;
        // As whoever writes a placeholder.
        match bytes.iter().any(|byte| *byte != bytes[0]) {
            true => Ok(Self(bytes)),
            false => Err("all of its bytes are the same".to_owned()),
        }
    }

    fn aead(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &self.0).ok().map(LessSafeKey::new)
    }
}

/// What was sealed: nobody can tell what it holds, nor change it unseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Drawn for this one alone.
    nonce: String,
    /// Encrypted, with what proves it.
    text: String,
}

impl Sealed {
    /// Seals a text that belongs to `about`, and to nothing else.
    pub fn new(key: &Key, about: &str, text: &[u8]) -> Option<Self> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut bytes = text.to_vec();
        let of = Nonce::assume_unique_for_key(nonce);
        key.aead()?.seal_in_place_append_tag(of, Aad::from(about), &mut bytes).ok()?;
        Some(Self { nonce: hex(&nonce), text: hex(&bytes) })
    }

    /// What it holds; none by another key, about something else, or where any of it was changed.
    pub fn open(&self, key: &Key, about: &str) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = unhex(&self.nonce)?.try_into().ok()?;
        let mut bytes = unhex(&self.text)?;
        let of = Nonce::assume_unique_for_key(nonce);
        let plain = key.aead()?.open_in_place(of, Aad::from(about), &mut bytes).ok()?.len();
        bytes.truncate(plain);
        Some(bytes)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect::<Option<_>>())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8) -> Key {
        let mut bytes = [7; KEY_BYTES];
        bytes[0] = first;
        Key(bytes)
    }

    #[test]
    fn only_its_own_key_opens_what_was_sealed_and_only_about_what_it_is() {
        let sealed = Sealed::new(&key(1), "shop/token", b"hunter2").unwrap();
        assert_eq!(sealed.open(&key(1), "shop/token").as_deref(), Some(&b"hunter2"[..]));
        assert_eq!(sealed.open(&key(2), "shop/token"), None);
        assert_eq!(sealed.open(&key(1), "shop/other"), None);
        let again = Sealed::new(&key(1), "shop/token", b"hunter2").unwrap();
        assert!(again.nonce != sealed.nonce && again.text != sealed.text);
        let turned = |text: &str| text.chars().rev().collect::<String>();
        for damaged in [
            Sealed { text: turned(&sealed.text), ..sealed.clone() },
            Sealed { nonce: turned(&sealed.nonce), ..sealed.clone() },
            Sealed { nonce: String::new(), ..sealed.clone() },
            Sealed { text: "0".into(), ..sealed.clone() },
            Sealed { text: "ü0".into(), ..sealed.clone() },
        ] {
            assert_eq!(damaged.open(&key(1), "shop/token"), None, "{damaged:?}");
        }
        let printed = format!("{sealed:?} {:?}", Secrets::Encrypted(key(1)));
        assert!(!printed.contains("hunter2") && printed.contains("Key(hidden)"), "{printed}");
        assert!(!printed.contains(&hex(b"hunter2")));
    }

    #[test]
    fn a_key_is_32_bytes_and_what_is_none_is_told_without_it() {
        let bytes: [u8; KEY_BYTES] = std::array::from_fn(|nth| nth as u8);
        let as_hex = hex(&bytes);
        assert_eq!(Key::parse(&as_hex).unwrap(), Key(bytes));
        assert_eq!(Key::parse(&as_hex.to_uppercase()).unwrap(), Key(bytes));
        let as_base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        assert_eq!(Key::parse(as_base64).unwrap(), Key(bytes));
        for (text, why) in [
            ("", "0 bytes long"),
            ("hunter2", "5 bytes long"),
            (&as_hex[..62], "46 bytes long"),
            ("not a key!", "neither base64 nor hexadecimal"),
            (&"z".repeat(64), "neither base64 nor hexadecimal"),
            (&"0".repeat(64), "all of its bytes are the same"),
        ] {
            let told = Key::parse(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
            assert!(text.is_empty() || !told.contains(text), "{told}");
        }
    }
}
