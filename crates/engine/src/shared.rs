//! A value with many copies, which is compared far more often than it changes.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value whose copies share it. Two copies of one value are equal at once, without a comparison of the values. So it
/// is a cheap key of a map even if it holds many texts.
#[derive(Debug)]
pub struct Shared<T>(Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: Ord> Ord for Shared<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        T::cmp(self, other)
    }
}

impl<T: Ord> PartialOrd for Shared<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Eq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.0 == *other.0
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_compares_as_its_value_wherever_that_is() {
        let (one, other) = (Shared::from("a".to_owned()), Shared::from("b".to_owned()));
        let copy = one.clone();
        let equal = Shared::from("a".to_owned());
        assert!(one == copy && one == equal && one != other);
        assert_eq!(one.cmp(&copy), Ordering::Equal);
        assert_eq!(one.cmp(&equal), Ordering::Equal);
        assert_eq!(one.cmp(&other), Ordering::Less);
        assert!(one < other && other > copy);
    }

    #[test]
    fn it_is_written_as_its_value() {
        let one = Shared::from(vec![1, 2]);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(text, "[1,2]");
        assert_eq!(
            serde_json::from_str::<Shared<Vec<i32>>>(&text).unwrap(),
            one
        );
    }
}
