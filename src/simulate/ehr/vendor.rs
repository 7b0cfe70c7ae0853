//! Whose EHR is simulated.

use std::str::FromStr;

/// A vendor's temper. So far the plain reading of the standards only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    Generic,
}

impl FromStr for Vendor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "generic" => Ok(Self::Generic),
            _ => Err(format!("there is no vendor `{name}` yet; there is: generic")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_vendor_is_refused_with_the_list_of_those_that_exist() {
        assert_eq!("generic".parse(), Ok(Vendor::Generic));
        assert_eq!(
            "epic".parse::<Vendor>(),
            Err("there is no vendor `epic` yet; there is: generic".to_owned())
        );
    }
}
