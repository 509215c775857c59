//! Shares, weights, names and identifiers: the small types that keep the big ones honest.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The new side's share of the traffic, in percent, kept as an exact decimal (millionths of a percent).
///
/// Six decimals are enough to write the smallest share that Route 53 can express: 1/256 is 0.390625 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(u32);

/// A Route 53 record weight. Route 53 takes the integers 0 to 255, which is exactly a `u8`.
///
/// Source: Route 53 API Reference, `ResourceRecordSet$Weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub u8);

/// The weights of the two members of a group, always written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WeightPair {
    /// The old cluster's weight.
    pub old: Weight,
    /// The new cluster's weight.
    pub new: Weight,
}

/// Why a text is not a share, or a share cannot be expressed as weights.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShareError {
    /// A number without a unit.
    #[error("`{0}` has no unit; write `{0}%`")]
    NoUnit(String),
    /// Not a number.
    #[error("`{0}` is not a percentage; write for example `5%`")]
    NotANumber(String),
    /// Below 0 % or above 100 %.
    #[error("`{0}` is not between 0% and 100%")]
    OutOfRange(String),
    /// More than six decimals.
    #[error("`{0}` has more than six decimals")]
    TooPrecise(String),
    /// The closest pair of weights gives nothing to the new side.
    #[error(
        "{0} rounds to 0; the smallest share that Route 53 can express is 0.390625% (1 of 256)"
    )]
    RoundsToZero(Share),
}

const MILLIONTHS: u32 = 1_000_000;

impl Share {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const FULL: Self = Self(100 * MILLIONTHS);

    /// A whole number of percent; more than 100 becomes 100.
    pub fn percent(percent: u8) -> Self {
        Self(u32::from(percent.min(100)) * MILLIONTHS)
    }

    /// The share in millionths of a percent.
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// The share in percent, for people and JSON. Exact to six decimals.
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / f64::from(MILLIONTHS)
    }

    /// The whole number of percent, if it is one.
    pub fn whole_percent(self) -> Option<u8> {
        self.0
            .is_multiple_of(MILLIONTHS)
            .then(|| u8::try_from(self.0 / MILLIONTHS).unwrap_or(100))
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

/// Reads a decimal number of percent exactly, without passing through floating point.
fn parse_millionths(number: &str, shown: &str) -> Result<u32, ShareError> {
    let not_a_number = || ShareError::NotANumber(shown.to_owned());
    if number.starts_with('-') && number[1..].parse::<f64>().is_ok() {
        return Err(ShareError::OutOfRange(shown.to_owned()));
    }
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) || number.ends_with('.') {
        return Err(not_a_number());
    }
    if decimals.len() > 6 {
        return Err(ShareError::TooPrecise(shown.to_owned()));
    }
    let out_of_range = || ShareError::OutOfRange(shown.to_owned());
    let whole: u32 = whole.parse().map_err(|_| out_of_range())?;
    let rest: u32 = format!("{decimals:0<6}")
        .parse()
        .map_err(|_| not_a_number())?;
    let value = whole
        .checked_mul(MILLIONTHS)
        .and_then(|millionths| millionths.checked_add(rest));
    value
        .filter(|value| *value <= Share::FULL.0)
        .ok_or_else(out_of_range)
}

impl WeightPair {
    /// A pair from bare numbers.
    pub fn new(old: u8, new: u8) -> Self {
        Self {
            old: Weight(old),
            new: Weight(new),
        }
    }

    /// The closest pair of weights to a share of the new side.
    ///
    /// Whole percents are written out of 100; others as the pair up to 255 that is closest, and among equally close
    /// ones the pair with the smallest sum.
    ///
    /// # Errors
    /// A share above zero that rounds to zero.
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

    /// The sum of both weights; zero makes Route 53 answer evenly, so nothing may ever write it.
    pub fn sum(self) -> u16 {
        u16::from(self.old.0) + u16::from(self.new.0)
    }

    /// The new side's share of this pair, to the nearest millionth of a percent; none where both weights are zero.
    pub fn share(self) -> Option<Share> {
        let sum = u64::from(self.sum());
        if sum == 0 {
            return None;
        }
        let scaled = u64::from(self.new.0) * u64::from(Share::FULL.0);
        u32::try_from((scaled + sum / 2) / sum).ok().map(Share)
    }

    /// Whether the new side gets more of the traffic here than in `other`, compared exactly.
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

/// Searches all pairs up to 255 for the one whose ratio is closest, comparing exact fractions.
fn closest_ratio(share: Share) -> WeightPair {
    let full = i64::from(Share::FULL.0);
    let wanted = i64::from(share.0);
    let mut best = (WeightPair::new(100, 0), wanted, full);
    for old in 0..=u8::MAX {
        for new in 0..=u8::MAX {
            let pair = WeightPair::new(old, new);
            let sum = i64::from(pair.sum());
            if sum == 0 {
                continue;
            }
            // The distance |new/sum - wanted/full| as the fraction `gap / (sum * full)`.
            let gap = (i64::from(new) * full - wanted * sum).abs();
            let (left, right) = (
                i128::from(gap) * i128::from(best.2),
                i128::from(best.1) * i128::from(sum),
            );
            let closer = left < right || (left == right && pair.sum() < best.0.sum());
            if closer {
                best = (pair, gap, sum);
            }
        }
    }
    best.0
}

/// Makes a text newtype that is transparent in JSON.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text.
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
                Self(text.to_owned())
            }
        }
    };
}

text_newtype! {
    /// A cutover's name: `[a-z0-9-]`, unique in the journal. It is also the name of its stream.
    CutoverName
}
text_newtype! {
    /// A hosted zone's identifier, without the `/hostedzone/` prefix.
    ZoneId
}
text_newtype! {
    /// The identifier of a submitted change, without the `/change/` prefix.
    ChangeId
}
text_newtype! {
    /// One running controller process. A new one is made at every start.
    ControllerId
}
text_newtype! {
    /// One intended write; all its batches and replies carry it.
    WriteId
}

/// A DNS name in the one form that names are compared in: lower case, no trailing dot, `*` for `\052`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DnsName(String);

impl DnsName {
    /// Normalises a name.
    ///
    /// Route 53 stores names in lower case, returns them with a trailing dot, and escapes everything outside
    /// `a-z0-9-_` in octal. Source: Route 53 Developer Guide, DNS domain name format.
    pub fn new(name: &str) -> Self {
        let lower = name.trim().to_ascii_lowercase();
        let bare = lower.strip_suffix('.').unwrap_or(&lower);
        Self(bare.replace("\\052", "*"))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name lies in the zone, or is its apex.
    pub fn is_in_zone(&self, zone: &Self) -> bool {
        self.0 == zone.0
            || self
                .0
                .strip_suffix(&zone.0)
                .is_some_and(|head| head.ends_with('.'))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies an alarm: its name, and its region where that is not the plan's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmId {
    /// The region; none means the region of the plan, or of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The alarm's name, exactly as CloudWatch has it (case counts).
    pub name: String,
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.region {
            Some(region) => write!(f, "{} ({region})", self.name),
            None => f.write_str(&self.name),
        }
    }
}
