//! Which check a violation is of.

use std::fmt;
use std::ops::Deref;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Check;
use super::list::check_named;

/// A check, as violations and workers refer to it. It is written as the check's name, and read where that is of
/// [`all_checks`](super::all_checks). Two are the same where their names are, which is decided here and nowhere else: whoever
/// wants to know more asks the check.
#[derive(Clone, Copy)]
pub struct CheckRef(&'static dyn Check);

impl CheckRef {
    /// A reference to a check.
    pub fn new(check: &'static dyn Check) -> Self {
        Self(check)
    }
}

impl Deref for CheckRef {
    type Target = dyn Check;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl PartialEq for CheckRef {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for CheckRef {}

impl fmt::Debug for CheckRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name(), f)
    }
}

impl fmt::Display for CheckRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.name(), f)
    }
}

impl Serialize for CheckRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for CheckRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || D::Error::custom(format_args!("there is no check {name}"));
        check_named(&name).map(Self).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::all_checks;

    #[test]
    fn each_check_is_written_as_its_name_and_read_back() {
        for check in all_checks().map(CheckRef::new) {
            let json = serde_json::to_string(&check).expect("it is a text");
            assert_eq!(json, format!("\"{}\"", check.name()));
            let read: CheckRef = serde_json::from_str(&json).expect("it is a check");
            assert_eq!(read, check);
        }
        assert!(serde_json::from_str::<CheckRef>("\"no_such_check\"").is_err());
    }
}
