//! The site's signature over its manifest: Ed25519, base64. The submission stays provable after TLS, proxies and years.
//! Only the check is here; a site signs with its `platform::signing` key.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Whether `signature` (base64) is by the holder of `public_key` (base64) over exactly these bytes.
pub fn verify(public_key: &str, manifest: &[u8], signature: &str) -> bool {
    let (Ok(public_key), Ok(signature)) = (STANDARD.decode(public_key), STANDARD.decode(signature)) else {
        return false;
    };
    public_key.len() == 32 && UnparsedPublicKey::new(&ED25519, &public_key).verify(manifest, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn a_signature_is_good_for_its_bytes_and_its_key_only() {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed");
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).expect("any 32 bytes are a seed");
        let public = |key: &Ed25519KeyPair| STANDARD.encode(key.public_key());
        let signature = STANDARD.encode(key.sign(b"manifest"));
        assert!(verify(&public(&key), b"manifest", &signature));
        assert!(!verify(&public(&key), b"manifesT", &signature));
        assert!(!verify(&public(&other), b"manifest", &signature));
        assert!(!verify(&public(&key), b"manifest", &signature[..84]));
        assert!(!verify("", b"manifest", &signature));
    }
}
