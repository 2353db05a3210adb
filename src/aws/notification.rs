//! A message of SNS that was posted to us: what it is, and whether SNS signed it.
//!
//! The certificate is SNS's because it came from a host of SNS over TLS; what is checked here is that the host is one, that
//! the signature is over what the message says, and that the message is not an old one.

use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

use crate::units::{Span, UnixMs, base64};

/// SNS tries again for an hour at most.
const AGE_MAX: Span = Span::hours(1);
/// How far its clock may be before ours.
const AHEAD_MAX: Span = Span::minutes(5);

/// As SNS posts it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Notification {
    /// What kind of message.
    #[serde(rename = "Type")]
    pub kind: Kind,
    /// Unlike any other.
    pub message_id: String,
    /// The topic.
    pub topic_arn: String,
    /// What was published, or that somebody wants to subscribe us.
    pub message: String,
    /// For mail.
    pub subject: Option<String>,
    /// When it was published.
    pub timestamp: String,
    /// With which a subscription is confirmed.
    pub token: Option<String>,
    /// Where that is done.
    #[serde(rename = "SubscribeURL")]
    pub subscribe_url: Option<String>,
    signature_version: String,
    signature: String,
    /// Where the certificate is.
    #[serde(rename = "SigningCertURL")]
    pub signing_cert_url: String,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// Somebody published.
    Notification,
    /// Somebody subscribed us: nothing comes before that is confirmed.
    SubscriptionConfirmation,
    /// Somebody ended that.
    UnsubscribeConfirmation,
}

impl Notification {
    /// Reads a body.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|fault| format!("this is no message of SNS: {fault}"))
    }

    /// Whether what stands there can be an address of SNS for this topic's region, over TLS; or of `endpoint`, where all of
    /// AWS is asked in its stead.
    pub fn is_of_sns(&self, url: &str, endpoint: Option<&str>) -> bool {
        let rest = |origin: &str| {
            let rest = url.strip_prefix(origin)?;
            rest.starts_with('/').then_some(())
        };
        if let Some(endpoint) = endpoint {
            return rest(endpoint.trim_end_matches('/')).is_some();
        }
        let Some(region) = self.topic_arn.split(':').nth(3) else { return false };
        let is_region = !region.is_empty()
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let chinese = region.starts_with("cn-");
        let host =
            format!("https://sns.{region}.amazonaws.com{}", if chinese { ".cn" } else { "" });
        is_region && rest(&host).is_some()
    }

    /// Whether SNS keeps its certificates there: something else on its host may answer with what anybody wrote.
    pub fn is_certificate_of_sns(&self, endpoint: Option<&str>) -> bool {
        let url = self.signing_cert_url.as_str();
        let name = url.rsplit_once('/').map_or("", |(_, name)| name);
        let number = name.strip_prefix("SimpleNotificationService-");
        let number = number.and_then(|it| it.strip_suffix(".pem"));
        let is_named_so = number
            .is_some_and(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_alphanumeric()));
        let is_at_root = url.matches('/').count() == 3;
        self.is_of_sns(url, endpoint) && (endpoint.is_some() || is_named_so && is_at_root)
    }

    /// Whether it is of now, more or less: else nothing is fetched for it.
    pub fn is_timely(&self, now: UnixMs) -> Result<(), String> {
        let at: UnixMs =
            self.timestamp.parse().map_err(|_| "its Timestamp is no time".to_owned())?;
        if now.since(at) > AGE_MAX || at.since(now) > AHEAD_MAX {
            return Err(format!("it says that it is of {at}, and it is {now}"));
        }
        Ok(())
    }

    /// What is wrong with it: too old, or not signed by the key of this certificate (in PEM).
    pub fn check(&self, certificate_pem: &[u8], now: UnixMs) -> Result<(), String> {
        self.is_timely(now)?;
        let algorithm = match self.signature_version.as_str() {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            other => {
                return Err(format!("its SignatureVersion {other:?} is not known: 1 and 2 are"));
            }
        };
        let signature = base64(&self.signature).ok_or("its signature is no base64")?;
        let key = key(certificate_pem).ok_or("its certificate cannot be read")?;
        let key = UnparsedPublicKey::new(algorithm, key);
        let verified = key.verify(self.signed().as_bytes(), &signature);
        verified.map_err(|_| "its signature is not SNS's".to_owned())
    }

    /// What SNS signs: some of the keys with their values, by the alphabet.
    fn signed(&self) -> String {
        let (subject, url, token) = match self.kind {
            Kind::Notification => (self.subject.as_deref(), None, None),
            Kind::SubscriptionConfirmation | Kind::UnsubscribeConfirmation => {
                (None, self.subscribe_url.as_deref(), self.token.as_deref())
            }
        };
        let kind = match self.kind {
            Kind::Notification => "Notification",
            Kind::SubscriptionConfirmation => "SubscriptionConfirmation",
            Kind::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        };
        let keys = [
            ("Message", Some(self.message.as_str())),
            ("MessageId", Some(&self.message_id)),
            ("Subject", subject),
            ("SubscribeURL", url),
            ("Timestamp", Some(&self.timestamp)),
            ("Token", token),
            ("TopicArn", Some(&self.topic_arn)),
            ("Type", Some(kind)),
        ];
        let said = keys.into_iter().filter_map(|(key, value)| Some(format!("{key}\n{}\n", value?)));
        said.collect()
    }
}

/// The RSA key of a certificate, as ring takes it: the bit string of its SubjectPublicKeyInfo.
fn key(pem: &[u8]) -> Option<Vec<u8>> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let certificate = webpki::EndEntityCert::try_from(&der).ok()?;
    let info = certificate.subject_public_key_info();
    let (inside, _) = element(0x30, &info)?;
    let (_, after_algorithm) = element(0x30, inside)?;
    let (bits, _) = element(0x03, after_algorithm)?;
    // The first byte says how many bits of the last are none: none are.
    bits.strip_prefix(&[0]).map(<[u8]>::to_vec)
}

/// What is in the DER element of this tag at the beginning, and what comes after it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match *first {
        short @ ..0x80 => (usize::from(short), rest),
        long => {
            let (bytes, rest) =
                rest.split_at_checked(usize::from(long & 0x7f)).filter(|(b, _)| b.len() <= 3)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_795_383_652_000);

    fn posted(kind: &str) -> serde_json::Value {
        serde_json::json!({
            "Type": kind, "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms",
            "Message": "it burns", "Subject": "ALARM", "Timestamp": "2026-11-22T21:40:52.000Z", "Token": "t",
            "SubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription",
            "SignatureVersion": "2", "Signature": "", "UnsubscribeURL": "https://x.example/",
            "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        })
    }

    fn read(posted: &serde_json::Value) -> Notification {
        Notification::parse(posted.to_string().as_bytes()).unwrap()
    }

    /// Of the key below, which signs nothing else.
    pub(crate) const PEM: &[u8] = include_bytes!("../../tests/fixtures/sns/certificate.pem");

    /// The same with the signature that SNS would give it.
    pub(crate) fn signed(mut posted: serde_json::Value) -> serde_json::Value {
        let key = include_bytes!("../../tests/fixtures/sns/key.der");
        let pair = ring::rsa::KeyPair::from_pkcs8(key).unwrap();
        let text = read(&posted).signed();
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        let how = &ring::signature::RSA_PKCS1_SHA256;
        pair.sign(how, &random, text.as_bytes(), &mut signature).unwrap();
        posted["Signature"] = base64_of(&signature).into();
        posted
    }

    fn base64_of(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let each = bytes.chunks(3).map(|chunk| {
            let all = chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            let letters =
                (0..4).map(|at| char::from(LETTERS[(all >> (18 - 6 * at) & 63) as usize]));
            let kept: String = letters.take(chunk.len() + 1).collect();
            format!("{kept:=<4}")
        });
        each.collect()
    }

    #[test]
    fn what_sns_signed_is_taken_and_nothing_else() {
        for kind in ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"] {
            let message = read(&signed(posted(kind)));
            assert_eq!(message.check(PEM, NOW), Ok(()), "{kind}");
            let forged = [
                Notification { message: "it does not burn".into(), ..message.clone() },
                Notification {
                    topic_arn: "arn:aws:sns:eu-central-1:123456789012:other".into(),
                    ..message.clone()
                },
                Notification { timestamp: "2026-11-22T21:40:53.000Z".into(), ..message.clone() },
                Notification {
                    kind: Kind::Notification,
                    token: Some("u".into()),
                    subject: None,
                    ..message.clone()
                },
            ];
            for forged in forged {
                assert_eq!(
                    forged.check(PEM, NOW),
                    Err("its signature is not SNS's".to_owned()),
                    "{forged:?}"
                );
            }
            let old = message.check(PEM, NOW + Span::minutes(61)).unwrap_err();
            assert!(old.contains("2026-11-22T21:40:52"), "{old}");
        }
    }

    /// By `openssl dgst -sha1`, with the same key, of what [`posted`] says of a notification.
    const FIRST: &str = "s5S8edF+agA3dDZohXLnyU8mJnEgxS26WkesZ8273fCsPeBUf9/yPqEkKKmcEUNksnRW5HMMRKcKtQFLzbNvvyRTLer1VrFssocM\
                         LxNO+2cvJdPY7+ZPSWcLqJ8Q5aCHWWw8jDL8p602sa6sY6xKs5uyO2M/q/DaSfGDqIMq1qcpslw7e59lpiqjShD1o5iPy+px9XJP\
                         WQHKOf2ZDVW64CJCr6WswoXh3GoNA7RmEARQlxq5e5xpYJ3IkydkQIySVbF7HjgGK7QOMkgLjJFPFjAHQWV9sUkKUeYiVY0pMKhs\
                         LeI+UuuBCIPVOwH/xg5AndfcN/imKmAa67rRMcjaYQ==";

    /// What a topic has that nobody has set otherwise.
    #[test]
    fn the_first_version_of_signatures_is_taken_and_one_that_nobody_knows_is_not() {
        let mut notification = posted("Notification");
        notification["SignatureVersion"] = "1".into();
        notification["Signature"] = FIRST.into();
        let message = read(&notification);
        assert_eq!(message.check(PEM, NOW), Ok(()));
        let other = Notification { message: "it does not burn".into(), ..message.clone() };
        assert_eq!(other.check(PEM, NOW), Err("its signature is not SNS's".to_owned()));
        let second = Notification { signature_version: "2".into(), ..message.clone() };
        assert_eq!(second.check(PEM, NOW), Err("its signature is not SNS's".to_owned()));
        let third = Notification { signature_version: "3".into(), ..message };
        assert!(third.check(PEM, NOW).unwrap_err().contains("\"3\" is not known"));
    }

    #[test]
    fn keys_that_are_signed_are_those_that_sns_names() {
        let text = read(&posted("Notification")).signed();
        assert_eq!(
            text,
            "Message\nit burns\nMessageId\nm-1\nSubject\nALARM\nTimestamp\n2026-11-22T21:40:52.000Z\n\
             TopicArn\narn:aws:sns:eu-central-1:123456789012:alarms\nType\nNotification\n"
        );
        let text = read(&posted("SubscriptionConfirmation")).signed();
        assert!(
            text.contains("SubscribeURL\nhttps://sns")
                && text.contains("Token\nt\n")
                && !text.contains("Subject")
        );
    }

    #[test]
    fn a_certificate_from_anywhere_else_is_not_fetched() {
        let message = read(&posted("Notification"));
        let is_of_sns = |url: &str| message.is_of_sns(url, None);
        assert!(is_of_sns(
            "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem"
        ));
        for url in [
            "http://sns.eu-central-1.amazonaws.com/x.pem",
            "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem",
            "https://sns.eu-central-1.amazonaws.com@evil.example/x.pem",
            "https://sns.eu-central-1.amazonaws.com:1@evil.example/x.pem",
            "https://sns.us-east-1.amazonaws.com/x.pem",
            "https://evil.example/sns.eu-central-1.amazonaws.com/x.pem",
            "",
        ] {
            assert!(!is_of_sns(url), "{url}");
        }
        // Whoever has an account can have other answers of that host be what he wrote.
        let host = "https://sns.eu-central-1.amazonaws.com";
        for (path, is_it) in [
            ("/SimpleNotificationService-0af1.pem", true),
            ("/?Action=GetEndpointAttributes&x=/SimpleNotificationService-1.pem", false),
            ("/SimpleNotificationService-1.pem?x", false),
            ("/a/SimpleNotificationService-1.pem", false),
            ("/SimpleNotificationService-.pem", false),
            ("/x.pem", false),
        ] {
            let signing_cert_url = format!("{host}{path}");
            let it = Notification { signing_cert_url, ..message.clone() };
            assert_eq!(it.is_certificate_of_sns(None), is_it, "{path}");
        }
        let mut odd = message.clone();
        odd.topic_arn = "arn:aws:sns:x.evil.example/:1:t".into();
        assert!(!odd.is_of_sns("https://sns.x.evil.example/.amazonaws.com/x.pem", None));
        odd.topic_arn = "arn:aws-cn:sns:cn-north-1:123456789012:t".into();
        assert!(odd.is_of_sns("https://sns.cn-north-1.amazonaws.com.cn/x.pem", None));
        assert!(message.is_of_sns("http://127.0.0.1:4566/x.pem", Some("http://127.0.0.1:4566")));
        assert!(!message.is_of_sns("http://127.0.0.1:45660/x.pem", Some("http://127.0.0.1:4566")));
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_key() {
        assert_eq!(key(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), None);
        assert_eq!(element(0x30, &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(element(0x30, &[0x30, 0x82, 0xff]), None);
        assert_eq!(element(0x30, &[0x30, 0x05, 0x00]), None);
    }
}
