//! The site's signature over its manifest: Ed25519, base64. The submission stays provable after TLS, proxies and years.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The signature over a manifest's canonical bytes, base64.
pub fn sign(key: &Ed25519KeyPair, manifest: &[u8]) -> String {
    STANDARD.encode(key.sign(manifest))
}

/// The public half of a manifest key, base64, as a site enrols it.
pub fn public_key(key: &Ed25519KeyPair) -> String {
    STANDARD.encode(key.public_key().as_ref())
}

/// Whether `signature` (base64) is by the holder of `public_key` (base64) over exactly these bytes.
pub fn verify(public_key: &str, manifest: &[u8], signature: &str) -> bool {
    let (Ok(public_key), Ok(signature)) = (STANDARD.decode(public_key), STANDARD.decode(signature)) else {
        return false;
    };
    public_key.len() == 32 && UnparsedPublicKey::new(&ED25519, &public_key).verify(manifest, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_bytes_and_its_key_only() {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed");
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).expect("any 32 bytes are a seed");
        let signature = sign(&key, b"manifest");
        assert!(verify(&public_key(&key), b"manifest", &signature));
        assert!(!verify(&public_key(&key), b"manifesT", &signature));
        assert!(!verify(&public_key(&other), b"manifest", &signature));
        assert!(!verify(&public_key(&key), b"manifest", &signature[..84]));
        assert!(!verify("", b"manifest", &signature));
    }
}
