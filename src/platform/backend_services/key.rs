//! The private key a client signs its assertions with: ES384 or RS384, PKCS#8 on disk, a public JWK for the other side.
//! Refuses the key ids of the keys printed in the SMART specification: everyone has those.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use crate::platform::file::{self, FileError};
use crate::platform::random;
use crate::platform::secret::Secret;

/// Key ids, and thumbprints, of the example keys published with SMART App Launch 2.2.0.
const PUBLISHED: [&str; 4] = [
    "cd520211e5661dbba2256f67f6d53f97",
    "eee9f17a3b598fd86417a980b591fbe6",
    "gpusNZnFRvG96B1APEttC6NcJetjhM0q2LJagnlW6Tc",
    "I99tVmIhN2uhvx12lO4Zrjk9OhGDH6LvIyYALIZivws",
];

/// How a client signs. A SMART server supports at least one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-384.
    Es384,
    /// RSA, 3072 bits.
    Rs384,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Es384 => "ES384",
            Self::Rs384 => "RS384",
        })
    }
}

/// Why a key cannot be used. Never holds a byte of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "client key is no private key this program can use: expected one PKCS#8 PEM with an EC P-384 or an RSA key of at least 2048 bits"
    )]
    NoKey,
    #[error("client key `{0}` is printed in the SMART specification, so everyone has it: generate a key of your own")]
    Published(String),
    #[error("client key could not sign")]
    NotSigned,
}

/// A client's private key. Cheap to clone; cannot be printed.
#[derive(Clone)]
pub struct ClientKey(Arc<Inner>, Option<Arc<str>>);

struct Inner {
    algorithm: Algorithm,
    pkcs8: Secret,
    signer: EncodingKey,
    jwk: Value,
    kid: String,
}

impl ClientKey {
    /// A fresh key. RSA takes about a second.
    /// # Errors: the machine cannot make one.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let der = match algorithm {
            Algorithm::Es384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1())
                .map(|der| der.as_ref().to_vec()),
            Algorithm::Rs384 => rsa::KeyPair::generate(KeySize::Rsa3072)
                .and_then(|pair| AsDer::<Pkcs8V1Der<'_>>::as_der(&pair))
                .map(|der| der.as_ref().to_vec()),
        };
        Self::from_pkcs8(Secret::new(der.map_err(|_| KeyError::NoKey)?))
    }

    /// The key of a PKCS#8 PEM text (`BEGIN PRIVATE KEY`).
    /// # Errors: `NoKey`, or a published one.
    pub fn from_pem(pem: &Secret) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(pem.expose()).map_err(|_| KeyError::NoKey)?;
        let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----").ok_or(KeyError::NoKey)?;
        let (body, _) = rest.split_once("-----END PRIVATE KEY-----").ok_or(KeyError::NoKey)?;
        let body = Secret::new(body.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
        let der = STANDARD.decode(body.expose()).map_err(|_| KeyError::NoKey)?;
        Self::from_pkcs8(Secret::new(der))
    }

    /// The key as PKCS#8 PEM.
    #[must_use]
    pub fn to_pem(&self) -> Secret {
        pem_of(self.0.pkcs8.expose())
    }

    /// The key in `path`, a file only its owner can read.
    /// # Errors: as `file::read_secret` and `from_pem`.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&file::read_secret(path)?)
    }

    /// Writes the key to a new file only its owner can read.
    /// # Errors: the file exists or cannot be written.
    pub fn to_file(&self, path: &Path) -> Result<(), KeyError> {
        Ok(file::write_secret(path, self.to_pem().expose())?)
    }

    fn from_pkcs8(pkcs8: Secret) -> Result<Self, KeyError> {
        let der = pkcs8.expose();
        let (algorithm, signer) = if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der) {
            debug_assert_eq!(pair.public_key().as_ref().len(), 97);
            (Algorithm::Es384, EncodingKey::from_ec_der(der))
        } else {
            let pair = rsa::KeyPair::from_pkcs8(der).map_err(|_| KeyError::NoKey)?;
            if pair.public_modulus_len() < 256 {
                return Err(KeyError::NoKey);
            }
            // By PEM: that reader takes the PKCS#1 part out, which its signer wants.
            let signer = EncodingKey::from_rsa_pem(pem_of(der).expose()).map_err(|_| KeyError::NoKey)?;
            (Algorithm::Rs384, signer)
        };
        let public = Jwk::from_encoding_key(&signer, jwt_algorithm(algorithm)).map_err(|_| KeyError::NoKey)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| KeyError::NoKey)?;
        refuse_published(&kid)?;
        let mut jwk = serde_json::to_value(&public).map_err(|_| KeyError::NoKey)?;
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        Ok(Self(
            Arc::new(Inner {
                algorithm,
                pkcs8,
                signer,
                jwk,
                kid,
            }),
            None,
        ))
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The key's id: its RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// The same key, whose assertions name the address of its JWK Set (`jku`). It must be the one registered at the server.
    #[must_use]
    pub fn published_at(self, jwks_url: &str) -> Self {
        Self(self.0, Some(jwks_url.into()))
    }

    /// The public half, as the other side registers it: `kty`, `alg`, `use`, `kid` and the numbers.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.0.jwk.clone()
    }

    /// `{"keys": [...]}` with the public half, for servers that take a JWK Set.
    #[must_use]
    pub fn public_jwks(&self) -> Value {
        json!({ "keys": [self.0.jwk] })
    }

    /// A signed client assertion (RFC 7523): valid from `now` for `seconds`, used once.
    /// # Errors: `NotSigned`.
    pub fn assertion(&self, client_id: &str, audience: &str, now: Timestamp, seconds: i64) -> Result<String, KeyError> {
        let mut header = Header::new(jwt_algorithm(self.0.algorithm));
        header.typ = Some("JWT".to_owned());
        header.kid = Some(self.0.kid.clone());
        header.jku = self.1.as_deref().map(str::to_owned);
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": now.as_second(),
            "exp": now.as_second() + seconds,
            "jti": random::hex(16),
        });
        jsonwebtoken::encode(&header, &claims, &self.0.signer).map_err(|_| KeyError::NotSigned)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({}, kid {})", self.0.algorithm, self.0.kid)
    }
}

/// Refuses a key id that everyone has the private key to.
/// # Errors: `Published`.
pub fn refuse_published(kid: &str) -> Result<(), KeyError> {
    if PUBLISHED.contains(&kid) {
        return Err(KeyError::Published(kid.to_owned()));
    }
    Ok(())
}

fn pem_of(der: &[u8]) -> Secret {
    let body = Secret::new(STANDARD.encode(der).into_bytes());
    let mut pem = b"-----BEGIN PRIVATE KEY-----\n".to_vec();
    for line in body.expose().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END PRIVATE KEY-----\n");
    Secret::new(pem)
}

fn jwt_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    fn check(algorithm: Algorithm) {
        let key = ClientKey::generate(algorithm).unwrap();
        let again = ClientKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!((again.algorithm(), again.kid()), (algorithm, key.kid()));
        let public = key.public_jwk();
        assert_eq!(public["alg"], algorithm.to_string());
        assert!(public.get("d").is_none() && public.get("p").is_none(), "the private half stays");

        let now: Timestamp = "2026-03-01T02:00:00Z".parse().unwrap();
        let jwt = again.assertion("client", "https://ehr.example.org/token", now, 240).unwrap();
        let header = jsonwebtoken::decode_header(&jwt).unwrap();
        assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("JWT"), Some(key.kid())));
        let verifier = DecodingKey::from_jwk(&serde_json::from_value(public).unwrap()).unwrap();
        let mut rules = Validation::new(jwt_algorithm(algorithm));
        rules.validate_exp = false;
        rules.set_audience(&["https://ehr.example.org/token"]);
        let claims = jsonwebtoken::decode::<Value>(&jwt, &verifier, &rules).unwrap().claims;
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("client"), &json!("client")));
        assert_eq!(claims["exp"], json!(now.as_second() + 240));
        assert_ne!(
            jwt,
            again.assertion("client", "https://ehr.example.org/token", now, 240).unwrap(),
            "each has its own jti"
        );
    }

    #[test]
    fn an_assertion_names_the_address_of_the_jwk_set_only_when_there_is_one() {
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        let jku = |key: &ClientKey| {
            let jwt = key.assertion("client", "https://ehr.example.org/token", Timestamp::UNIX_EPOCH, 240);
            jsonwebtoken::decode_header(jwt.unwrap()).unwrap().jku
        };
        assert_eq!(jku(&key), None);
        let address = "https://site.example.org/.well-known/jwks.json";
        assert_eq!(jku(&key.published_at(address)).as_deref(), Some(address));
    }

    #[test]
    fn an_es384_assertion_verifies_with_the_public_jwk() {
        check(Algorithm::Es384);
    }

    #[test]
    fn an_rs384_assertion_verifies_with_the_public_jwk() {
        check(Algorithm::Rs384);
    }

    #[test]
    fn the_keys_of_the_specification_are_refused() {
        for kid in PUBLISHED {
            assert!(matches!(refuse_published(kid), Err(KeyError::Published(_))));
        }
        assert!(refuse_published(ClientKey::generate(Algorithm::Es384).unwrap().kid()).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused_without_a_byte_of_it() {
        for text in [
            "",
            "hush",
            "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE KEY-----",
        ] {
            let error = ClientKey::from_pem(&Secret::new(text.into())).unwrap_err();
            assert!(matches!(error, KeyError::NoKey));
            assert!(!error.to_string().contains("hush"));
        }
        let shown = format!("{:?}", ClientKey::generate(Algorithm::Es384).unwrap());
        assert!(shown.starts_with("ClientKey(ES384, kid "), "{shown}");
    }

    #[test]
    fn a_key_file_is_private_and_gives_the_key_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.pem");
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        key.to_file(&path).unwrap();
        assert_eq!(ClientKey::from_file(&path).unwrap().kid(), key.kid());
        assert!(key.to_file(&path).is_err(), "it is not overwritten");
    }
}
