//! Which paths give a row's key: of two resources never the same.

/// The resource's key, or with its place in the list behind it: no two resources share either, because no id holds a `#`.
pub(super) fn is_own(path: &str) -> bool {
    let path = path.strip_suffix(" & '#' & %rowIndex.toString()").unwrap_or(path);
    matches!(path, "getResourceKey()" | "%resource.getResourceKey()")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_resource_s_own_key_begins_a_row_s_key() {
        for own in [
            "getResourceKey()",
            "%resource.getResourceKey()",
            "%resource.getResourceKey() & '#' & %rowIndex.toString()",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "id",
            "subject.getReferenceKey(Patient)",
            "getResourceKey() & '#' & id",
            "getResourceKey() & %rowIndex.toString()",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
