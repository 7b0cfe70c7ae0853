//! Enums whose variants have a name for the command line and a sentence for people: one table for the type, its parser,
//! its documentation and `--help`, so that none of them falls behind.

/// `named! { "fault", pub enum Fault { Stall = "stall": "a file's answer stops", … } }`: the enum with `ALL`, `name`,
/// `says` and `FromStr`, whose error lists the names there are.
macro_rules! named {
    ($kind:literal, $(#[$about:meta])* pub enum $Name:ident { $($Variant:ident = $name:literal: $says:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $Name {
            $(#[doc = $says] $Variant,)+
        }

        impl $Name {
            /// All of them, in the order of their declaration.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$Variant),+];

            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// What it is, in a sentence.
            pub fn says(self) -> &'static str {
                match self {
                    $(Self::$Variant => $says,)+
                }
            }
        }

        impl std::str::FromStr for $Name {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
                    format!(concat!("there is no ", $kind, " `{}`; there are: {}"), name, names.join(", "))
                })
            }
        }
    };
}

pub(super) use named;
