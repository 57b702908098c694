//! Hashes by which rules are found: equal values have equal ones.
//!
//! They never leave the process, and nothing is decided by them alone.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Val;

/// What kind of thing was hashed.
#[derive(Hash)]
enum Of {
    None,
    Bool,
    Number,
    Text,
    Beginning,
    Fact,
}

/// Equal for values that `==` finds equal; nothing for lists and mappings.
pub(crate) fn equal_hash(value: &Val<'_>) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match value {
        Val::None => Of::None.hash(&mut hasher),
        Val::Bool(value) => (Of::Bool, value).hash(&mut hasher),
        Val::Num(number) => {
            Of::Number.hash(&mut hasher);
            number.hash_value(&mut hasher);
        }
        Val::Str(text) => (Of::Text, &**text).hash(&mut hasher),
        Val::Undefined(_) | Val::List(_) | Val::Map(_) => return None,
    }
    Some(hasher.finish())
}

/// Hashes the beginning of a text, as far as it is written into it.
pub(crate) fn beginning_hasher() -> DefaultHasher {
    let mut hasher = DefaultHasher::new();
    Of::Beginning.hash(&mut hasher);
    hasher
}

/// Equal for what equal things are said of the same field.
pub(crate) fn fact_id(path: &[Box<str>], kind: u8, about: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (Of::Fact, path, kind, about).hash(&mut hasher);
    hasher.finish()
}
