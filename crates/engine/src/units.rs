//! Small types that keep numbers and texts of different meaning apart: shares, weights, names and identifiers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The new side's share of the traffic, from 0 to 100 %. Stored exactly, in millionths of a percent.
///
/// Six decimals are enough for the smallest share that Route 53 can express: 1 of 256 is 0.390625 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(u32);

/// The weight of a Route 53 record, 0 to 255.
///
/// Source: Route 53 API Reference, `ResourceRecordSet$Weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub u8);

/// The weights of the two members of a group. Both are always written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WeightPair {
    /// The weight of the old cluster's record.
    pub old: Weight,
    /// The weight of the new cluster's record.
    pub new: Weight,
}

/// Why a text is not a share, or why a share cannot be expressed as weights.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShareError {
    /// The text is a number without a unit.
    #[error("`{0}` has no unit; write `{0}%`")]
    NoUnit(String),
    /// The text is not a number with a percent sign.
    #[error("`{0}` is not a percentage; write for example `5%`")]
    NotANumber(String),
    /// The percentage is below 0 or above 100.
    #[error("`{0}` is not between 0% and 100%")]
    OutOfRange(String),
    /// The percentage has more than six decimals.
    #[error("`{0}` has more than six decimals")]
    TooPrecise(String),
    /// The closest pair of weights gives the new side nothing.
    #[error(
        "{0} rounds to 0; the smallest share that Route 53 can express is 0.390625% (1 of 256)"
    )]
    RoundsToZero(Share),
}

/// The number of millionths in one percent.
const MILLIONTHS: u32 = 1_000_000;

impl Share {
    /// 0 %: the new side gets no traffic.
    pub const ZERO: Self = Self(0);
    /// 100 %: the new side gets all traffic.
    pub const FULL: Self = Self(100 * MILLIONTHS);

    /// Returns the share that a weight has of `all`, the sum of the weights of its group, rounded to a millionth of a
    /// percent. Returns [`Share::ZERO`] if that sum is 0.
    pub fn of(weight: Weight, all: u32) -> Self {
        if all == 0 {
            return Self::ZERO;
        }
        let (all, scaled) = (
            u64::from(all),
            u64::from(weight.0) * u64::from(Self::FULL.0),
        );
        u32::try_from((scaled + all / 2) / all).map_or(Self::FULL, Self)
    }

    /// Returns a share of a whole number of percent. Numbers above 100 count as 100.
    pub fn percent(percent: u8) -> Self {
        Self(u32::from(percent.min(100)) * MILLIONTHS)
    }

    /// Returns the share in millionths of a percent, 0 to 100,000,000.
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// Returns the share in percent, for people and JSON. Exact to six decimals.
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / f64::from(MILLIONTHS)
    }

    /// Returns the share as a whole number of percent, 0 to 100. `None` if it has decimals.
    pub fn whole_percent(self) -> Option<u8> {
        if !self.0.is_multiple_of(MILLIONTHS) {
            return None;
        }
        Some(u8::try_from(self.0 / MILLIONTHS).unwrap_or(100))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / MILLIONTHS, self.0 % MILLIONTHS);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let decimals = format!("{rest:06}");
        write!(f, "{whole}.{}%", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let trimmed = text.trim();
        let Some(number) = trimmed.strip_suffix('%') else {
            return Err(match trimmed.parse::<f64>() {
                Ok(_) => ShareError::NoUnit(trimmed.to_owned()),
                Err(_) => ShareError::NotANumber(trimmed.to_owned()),
            });
        };
        parse_millionths(number.trim_end(), trimmed).map(Self)
    }
}

/// Parses a decimal number of percent into millionths of a percent. Does not use floating point, which would round.
/// `shown` is the text for errors.
///
/// # Errors
/// The text is not a number, is out of range, or has more than six decimals.
fn parse_millionths(number: &str, shown: &str) -> Result<u32, ShareError> {
    if number.starts_with('-') && number[1..].parse::<f64>().is_ok() {
        return Err(ShareError::OutOfRange(shown.to_owned()));
    }
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || !is_digits(whole) || !is_digits(decimals) || number.ends_with('.') {
        return Err(ShareError::NotANumber(shown.to_owned()));
    }
    if decimals.len() > 6 {
        return Err(ShareError::TooPrecise(shown.to_owned()));
    }
    let Ok(rest) = format!("{decimals:0<6}").parse::<u32>() else {
        return Err(ShareError::NotANumber(shown.to_owned()));
    };
    // A number that is too large for the arithmetic is out of range too.
    let value = whole
        .parse::<u32>()
        .ok()
        .and_then(|whole| whole.checked_mul(MILLIONTHS))
        .and_then(|millionths| millionths.checked_add(rest));
    match value {
        Some(value) if value <= Share::FULL.0 => Ok(value),
        Some(_) | None => Err(ShareError::OutOfRange(shown.to_owned())),
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

impl WeightPair {
    /// Returns a pair of these two weights.
    pub fn new(old: u8, new: u8) -> Self {
        Self {
            old: Weight(old),
            new: Weight(new),
        }
    }

    /// Returns the pair of weights that is closest to a share (semantics I1).
    ///
    /// A whole number of percent is written as two weights with the sum 100. For any other share the result is the pair
    /// of weights up to 255 whose ratio is closest. If several pairs are equally close, it is the one with the smallest
    /// sum.
    ///
    /// # Errors
    /// The share is above zero, but the closest pair gives the new side nothing.
    pub fn closest(share: Share) -> Result<Self, ShareError> {
        if let Some(percent) = share.whole_percent() {
            return Ok(Self::new(100 - percent, percent));
        }
        let pair = closest_ratio(share);
        if pair.new.0 == 0 {
            Err(ShareError::RoundsToZero(share))
        } else {
            Ok(pair)
        }
    }

    /// Returns the sum of both weights. A pair with the sum 0 must never be written, because Route 53 then splits the
    /// traffic evenly.
    pub fn sum(self) -> u16 {
        u16::from(self.old.0) + u16::from(self.new.0)
    }

    /// Returns the new side's share by this pair, to the nearest millionth of a percent. `None` if both weights are 0.
    pub fn share(self) -> Option<Share> {
        let sum = u64::from(self.sum());
        if sum == 0 {
            return None;
        }
        let scaled = u64::from(self.new.0) * u64::from(Share::FULL.0);
        u32::try_from((scaled + sum / 2) / sum).ok().map(Share)
    }

    /// Returns true if the new side gets more of the traffic here than in `other`, compared exactly.
    pub fn gives_new_more_than(self, other: Self) -> bool {
        u32::from(self.new.0) * u32::from(other.sum())
            > u32::from(other.new.0) * u32::from(self.sum())
    }
}

impl fmt::Display for WeightPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.old.0, self.new.0)
    }
}

/// Returns the pair of weights up to 255 whose ratio is closest to a share. Compares exact fractions of integers.
fn closest_ratio(share: Share) -> WeightPair {
    let full = i64::from(Share::FULL.0);
    let wanted = i64::from(share.0);
    // The first candidate gives the new side nothing, so it is off by the whole share.
    let mut best = (WeightPair::new(1, 0), wanted, 1);
    for old in 0..=u8::MAX {
        for new in 0..=u8::MAX {
            let pair = WeightPair::new(old, new);
            let sum = i64::from(pair.sum());
            if sum == 0 {
                continue;
            }
            // The distance |new/sum - wanted/full| as the fraction `gap / (sum * full)`.
            let gap = (i64::from(new) * full - wanted * sum).abs();
            // Neither product exceeds 510 * 100,000,000 * 510, which is far less than an `i64` can hold.
            let (left, right) = (gap * best.2, best.1 * sum);
            let closer = left < right || (left == right && pair.sum() < best.0.sum());
            if closer {
                best = (pair, gap, sum);
            }
        }
    }
    best.0
}

/// Implements `Debug` and serde for a text type whose clones share the text.
macro_rules! shared_text {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&&*self.0).finish()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|text| Self(text.into()))
            }
        }
    };
}

/// Defines a text type that is the same text in JSON. Clones share the text, because every round copies each name many
/// times.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        shared_text!($name);
    };
}

text_newtype! {
    /// The name of a cutover: `[a-z0-9-]`, unique in the journal. Also the name of its stream.
    CutoverName
}
text_newtype! {
    /// The ID of a hosted zone, without the `/hostedzone/` prefix.
    ZoneId
}
text_newtype! {
    /// The ID of a change that Route 53 accepted, without the `/change/` prefix.
    ChangeId
}
text_newtype! {
    /// The ID of one controller process. Every start makes a new one.
    ControllerId
}
text_newtype! {
    /// The ID of one intended write, change of jobs or call. All batches and replies of it carry this ID.
    WriteId
}

impl ZoneId {
    /// Returns true if a zone is written as an ID and not as a name. Source: Route 53 API Reference, `ResourceId`: at
    /// most 32 characters.
    pub fn is_written_as(zone: &str) -> bool {
        let rest = zone.strip_prefix('Z').unwrap_or("");
        let fits = rest
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        fits && !rest.is_empty() && zone.len() <= 32
    }
}

/// A DNS name in the form in which names are compared: lower case, without the trailing dot, with `*` for `\052`
/// (semantics I2).
///
/// Clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(Arc<str>);

shared_text!(DnsName);

impl DnsName {
    /// Converts a DNS name to the form in which names are compared.
    ///
    /// Route 53 stores names in lower case, returns them with a trailing dot, and escapes everything outside `a-z0-9-_`
    /// in octal. Source: Route 53 Developer Guide, DNS domain name format.
    pub fn new(name: &str) -> Self {
        let lower = name.trim().to_ascii_lowercase();
        let bare = lower.strip_suffix('.').unwrap_or(&lower);
        if bare.contains('\\') {
            return Self(bare.replace("\\052", "*").into());
        }
        Self(bare.into())
    }

    /// Returns true if `written` is this name, in any of the forms that Route 53 accepts or returns.
    pub fn is_written(&self, written: &str) -> bool {
        // A shortcut: Route 53 mostly returns exactly this text and a dot.
        written.strip_suffix('.') == Some(self.as_str()) || Self::new(written) == *self
    }

    /// Returns the name in the form in which names are compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if this name lies in the zone, or is the name of the zone itself.
    pub fn is_in_zone(&self, zone: &Self) -> bool {
        self.0 == zone.0
            || self
                .0
                .strip_suffix(zone.as_str())
                .is_some_and(|head| head.ends_with('.'))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies an alarm by its name, and by its region if that is not the plan's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmId {
    /// The alarm's region. `None` means the plan's region, or else the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The alarm's name, exactly as CloudWatch has it (case counts). For an alarm in another account than the plan's,
    /// its ARN, so that two accounts may have alarms of the same name.
    pub name: String,
}

impl AlarmId {
    /// Returns the ID of an alarm in another account than the plan's. `number` is the number of that account.
    pub fn in_account(number: &str, region: Option<&str>, name: &str) -> Self {
        let place = region.unwrap_or_default();
        Self {
            region: region.map(str::to_owned),
            name: format!("arn:aws:cloudwatch:{place}:{number}:alarm:{name}"),
        }
    }

    /// Returns the alarm's name within its account.
    pub fn bare_name(&self) -> &str {
        in_another_account(&self.name).map_or(&self.name, |(_, name)| name)
    }

    /// Returns the number of the alarm's account. `None` if it is the plan's account.
    pub fn account_number(&self) -> Option<&str> {
        in_another_account(&self.name).map(|(number, _)| number)
    }
}

/// Returns the account's number and the bare name of an alarm that is named by its ARN. `None` for any other name.
pub(crate) fn in_another_account(name: &str) -> Option<(&str, &str)> {
    let (head, bare) = name.split_once(":alarm:")?;
    let mut parts = head.strip_prefix("arn:")?.split(':');
    let number = parts.nth(3)?;
    if number.is_empty() {
        None
    } else {
        Some((number, bare))
    }
}

/// Returns an alarm's name for people: with the account if that is not the plan's, and with the region if there is one.
pub(crate) fn shown_alarm(name: &str, region: Option<&str>) -> String {
    match (in_another_account(name), region) {
        (Some((number, bare)), Some(region)) => format!("{bare} ({number}, {region})"),
        (Some((number, bare)), None) => format!("{bare} ({number})"),
        (None, Some(region)) => format!("{name} ({region})"),
        (None, None) => name.to_owned(),
    }
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_alarm(&self.name, self.region.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the distance of a pair from a share, as a fraction: (numerator, denominator). All fractions have the
    /// common factor `Share::FULL` in the denominator left out.
    fn distance(pair: WeightPair, share: Share) -> (u128, u128) {
        let new = u128::from(pair.new.0) * u128::from(Share::FULL.millionths());
        let wanted = u128::from(share.millionths()) * u128::from(pair.sum());
        (new.abs_diff(wanted), u128::from(pair.sum()))
    }

    #[test]
    fn whole_percents_are_written_out_of_a_hundred() {
        for percent in 0..=100 {
            let pair = WeightPair::closest(Share::percent(percent)).unwrap();
            assert_eq!(pair, WeightPair::new(100 - percent, percent));
            assert_eq!(pair.share(), Some(Share::percent(percent)));
        }
    }

    #[test]
    fn known_fractions_have_known_weights() {
        let pair = |text: &str| WeightPair::closest(text.parse().unwrap()).unwrap();
        assert_eq!(pair("0.5%"), WeightPair::new(199, 1));
        assert_eq!(pair("0.390625%"), WeightPair::new(255, 1));
        assert_eq!(pair("33.333333%"), WeightPair::new(2, 1));
        assert_eq!(pair("99.7%"), WeightPair::new(1, 255));
        assert_eq!(
            pair("12.5%"),
            WeightPair::new(7, 1),
            "of equally close ones the smallest"
        );
    }

    #[test]
    fn a_share_that_rounds_to_nothing_is_an_error() {
        let share: Share = "0.1%".parse().unwrap();
        assert_eq!(
            WeightPair::closest(share),
            Err(ShareError::RoundsToZero(share))
        );
        assert!(WeightPair::closest("0.2%".parse().unwrap()).is_ok());
    }

    #[test]
    fn almost_everything_still_leaves_a_sum_above_zero() {
        let pair = WeightPair::closest("99.999999%".parse().unwrap()).unwrap();
        assert_eq!(pair, WeightPair::new(0, 1));
    }

    #[test]
    fn texts_that_are_no_shares_say_why() {
        let error = |text: &str| text.parse::<Share>().unwrap_err();
        assert_eq!(error("5"), ShareError::NoUnit("5".to_owned()));
        assert_eq!(error("101%"), ShareError::OutOfRange("101%".to_owned()));
        assert_eq!(error("-1%"), ShareError::OutOfRange("-1%".to_owned()));
        assert_eq!(
            error("0.1234567%"),
            ShareError::TooPrecise("0.1234567%".to_owned())
        );
        for text in ["", "%", "five%", "1e1%", "5.%", ".5%", "5%%", "NaN%", "+5%"] {
            assert_eq!(error(text), ShareError::NotANumber(text.to_owned()));
        }
    }

    #[test]
    fn names_are_compared_in_one_form() {
        assert_eq!(
            DnsName::new("API.Example.com."),
            DnsName::new("api.example.com")
        );
        assert_eq!(DnsName::new("\\052.example.com").as_str(), "*.example.com");
        let zone = DnsName::new("example.com");
        assert!(zone.is_in_zone(&zone));
        assert!(DnsName::new("a.b.example.com").is_in_zone(&zone));
        assert!(!DnsName::new("badexample.com").is_in_zone(&zone));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_pair_is_closer_than_the_closest(millionths in 1_u32..100_000_000) {
            let share = Share(millionths);
            prop_assume!(share.whole_percent().is_none());
            let (found, is_zero) = match WeightPair::closest(share) {
                Ok(pair) => (pair, false),
                Err(_) => (WeightPair::new(1, 0), true),
            };
            prop_assert!(found.sum() > 0);
            prop_assert_eq!(found.new.0 == 0, is_zero);
            let (gap, sum) = distance(found, share);
            for old in 0..=255 {
                for new in 0..=255 {
                    let pair = WeightPair::new(old, new);
                    if pair.sum() == 0 {
                        continue;
                    }
                    let (other_gap, other_sum) = distance(pair, share);
                    prop_assert!(gap * other_sum <= other_gap * sum, "{pair} is closer");
                    if gap * other_sum == other_gap * sum {
                        prop_assert!(found.sum() <= pair.sum(), "{pair} is as close and smaller");
                    }
                }
            }
        }

        #[test]
        fn a_pairs_own_share_finds_the_same_ratio(old in 0_u8..=255, new in 1_u8..=255) {
            let pair = WeightPair::new(old, new);
            let found = WeightPair::closest(pair.share().unwrap()).unwrap();
            prop_assert!(!found.gives_new_more_than(pair) && !pair.gives_new_more_than(found));
        }

        #[test]
        fn a_share_reads_back_as_it_is_shown(millionths in 0_u32..=100_000_000) {
            let share = Share(millionths);
            prop_assert_eq!(share.to_string().parse::<Share>(), Ok(share));
            let json = serde_json::to_string(&share).unwrap();
            prop_assert_eq!(serde_json::from_str::<Share>(&json).unwrap(), share);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let share = text.parse::<Share>();
            prop_assert!(share.is_err() || text.trim_end().ends_with('%'));
        }
    }

    #[test]
    fn the_id_of_a_zone_is_told_from_a_name() {
        assert!(ZoneId::is_written_as("Z0123456789ABCDEFGHIJ"));
        for name in ["example.com", "Z.example", "zone", "Zebra", "Z", ""] {
            assert!(!ZoneId::is_written_as(name), "{name}");
        }
    }
}
