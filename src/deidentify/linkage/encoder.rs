//! One record becomes one linkage key: a schema and the keys derived from the project's secret. A plain function of both.

use super::bloom::Clk;
use super::fault::Unfit;
use super::feature::Hashing;
use super::schema::{KEYS, Schema};
use crate::platform::secret::{Secret, hkdf_long};

/// Makes linkage keys under one schema and secret.
pub struct Encoder {
    schema: Schema,
    /// One pair for each feature of the schema, ignored or not.
    keys: Vec<[Secret; KEYS]>,
}

impl Encoder {
    /// The keys of each feature are derived by HKDF, as clkhash does: one stream, cut into two keys a feature.
    pub fn new(schema: Schema, secret: &Secret) -> Self {
        let kdf = &schema.kdf;
        let stream = hkdf_long(kdf.hash, secret, &kdf.salt, &kdf.info, schema.features.len() * KEYS * kdf.key_bytes)
            .expect("the schema was read: its keys are no longer than HKDF gives");
        let cut: Vec<Secret> = stream
            .expose()
            .chunks_exact(kdf.key_bytes)
            .map(|key| Secret::new(key.to_vec()))
            .collect();
        let keys = cut.chunks_exact(KEYS).map(|pair| [pair[0].clone(), pair[1].clone()]).collect();
        Self { schema, keys }
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The derived keys, feature by feature: for the test that holds them against the reference.
    pub fn keys(&self) -> &[[Secret; KEYS]] {
        &self.keys
    }

    /// The linkage key of a record: one value for each feature of the schema, in its order; of an ignored feature, any.
    /// # Errors: the first feature whose value does not fit its format.
    /// # Panics: when there are not as many values as features.
    pub fn encode(&self, record: &[&str]) -> Result<Clk, Unfit> {
        assert_eq!(record.len(), self.schema.features.len(), "one value for each feature");
        let mut clk = Clk::new(self.schema.bits << self.schema.folds);
        for ((feature, keys), value) in self.schema.features.iter().zip(&self.keys).zip(record) {
            let Some(hashing) = &feature.hashing else { continue };
            insert(&mut clk, hashing, keys, value).map_err(|rule| Unfit {
                feature: feature.identifier.clone(),
                rule,
            })?;
        }
        Ok(clk.folded(self.schema.folds))
    }
}

fn insert(clk: &mut Clk, hashing: &Hashing, keys: &[Secret; KEYS], value: &str) -> Result<(), &'static str> {
    let canonical;
    let value = match &hashing.missing {
        // What stands for a missing value is not held against the format.
        Some(missing) if missing.sentinel == value => &missing.replacement,
        _ => {
            if !hashing.encoding.holds(value) {
                return Err("text that its encoding holds");
            }
            canonical = hashing.format.canonical(value)?;
            &*canonical
        }
    };
    let tokens = hashing.comparison.tokens(value)?;
    for (at, token) in tokens.iter().enumerate() {
        let times = hashing.strategy.times(at, tokens.len());
        clk.insert(hashing.hash, keys, &hashing.encoding.bytes(token), times);
    }
    Ok(())
}

/// Prints no key.
impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} features, {} bits)", self.keys.len(), self.schema.bits)
    }
}
